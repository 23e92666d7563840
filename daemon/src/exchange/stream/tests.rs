use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A query with ID 0xabcd for `<label>.ExAmple.`, type A.
fn query(label: &str) -> Vec<u8> {
    let mut query = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, u8::try_from(label.len()).unwrap()];
    query.extend_from_slice(label.as_bytes());
    query.extend_from_slice(b"\x07ExAmple\x00\x00\x01\x00\x01");
    query
}

/// A response to `query` with a body that no parser could read.
fn response(query: &[u8]) -> Vec<u8> {
    let mut response = query.to_vec();
    response[2] |= 0x80;
    response[7] = 9;
    response.extend_from_slice(b"\xff\xffnot a record");
    response
}

fn with_id_of_query(mut response: Vec<u8>) -> Vec<u8> {
    response[..2].copy_from_slice(&[0xab, 0xcd]);
    response
}

/// The server's end of a connection.
struct Peer(TcpStream);

impl Peer {
    async fn read(&mut self) -> Option<Vec<u8>> {
        let length = self.0.read_u16().await.ok()?;
        let mut message = vec![0; length.into()];
        self.0.read_exact(&mut message).await.ok()?;
        Some(message)
    }

    async fn write(&mut self, message: &[u8]) {
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        self.0.write_all(&[&length, message].concat()).await.unwrap();
    }
}

/// An upstream on loopback that plays `part` on each connection, which it numbers from 1; how many came is counted.
async fn upstream<F, P>(part: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(usize, Peer) -> P + Send + 'static,
    P: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
            tokio::spawn(part(number, Peer(socket)));
        }
    });
    (address, count)
}

fn streams() -> Streams {
    Streams::new(StreamLimits::default())
}

async fn ask(streams: &Streams, server: SocketAddr, label: &str) -> Result<Vec<u8>, StreamError> {
    streams.ask(server.into(), query(label), Instant::now() + SECOND).await
}

/// Answers whatever is asked.
async fn honest(mut peer: Peer) {
    while let Some(query) = peer.read().await {
        peer.write(&response(&query)).await;
    }
}

#[tokio::test]
async fn an_answer_comes_back_as_it_came_with_the_id_of_the_query() {
    let (server, count) = upstream(|_, peer| honest(peer)).await;
    let streams = streams();
    for label in ["a", "B", "a"] {
        assert_eq!(ask(&streams, server, label).await, Ok(response(&query(label))));
    }
    assert_eq!(count.load(Ordering::SeqCst), 1, "one connection serves all");
}

#[tokio::test]
async fn many_at_once_with_one_id_are_answered_in_any_order() {
    let (server, count) = upstream(async |_, mut peer: Peer| {
        let mut asked = Vec::new();
        for _ in 0..20 {
            asked.push(peer.read().await.unwrap());
        }
        for query in asked.iter().rev() {
            peer.write(&response(query)).await;
        }
        peer.read().await;
    })
    .await;
    let streams = Arc::new(streams());
    let labels: Vec<String> = (0..20).map(|number| format!("n{}", number / 2)).collect(); // each name twice
    let attempts = labels.iter().map(|label| ask(&streams, server, label));
    let answers = futures_util::future::join_all(attempts).await;
    for (label, answer) in labels.iter().zip(answers) {
        assert_eq!(answer, Ok(response(&query(label))));
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_no_answer_to_the_question_is_waited_past() {
    let (server, count) = upstream(async |_, mut peer: Peer| {
        let asked = peer.read().await.unwrap();
        let mut wrong_id = response(&asked);
        wrong_id[0] ^= 1;
        let mut wrong_type = response(&asked);
        let at = asked.len() - 3;
        wrong_type[at] = 28;
        let no_question = [&response(&asked)[..4], &[0; 8]].concat();
        for wrong in [&wrong_id, &wrong_type, &no_question, &asked, &vec![7], &response(&asked)[..15].to_vec()] {
            peer.write(wrong).await;
        }
        peer.write(&vec![0xee; 65_535]).await;
        peer.write(&response(&asked)).await;
        honest(peer).await;
    })
    .await;
    let streams = streams();
    assert_eq!(ask(&streams, server, "name").await, Ok(response(&query("name"))));
    assert_eq!(ask(&streams, server, "next").await, Ok(response(&query("next"))));
    assert_eq!(count.load(Ordering::SeqCst), 1, "the connection lives on");
}

#[tokio::test]
async fn an_answer_in_another_spelling_is_an_answer() {
    let other = |asked: &[u8]| {
        let mut answer = response(asked);
        answer[13] ^= 0x20;
        answer
    };
    let (server, _) = upstream(move |_, mut peer: Peer| async move {
        let asked = peer.read().await.unwrap();
        peer.write(&other(&asked)).await;
    })
    .await;
    assert_eq!(ask(&streams(), server, "name").await, Ok(other(&query("name"))));
}

#[tokio::test]
async fn an_error_without_a_question_is_an_answer() {
    let formerr = |asked: &[u8]| [&asked[..2], &[0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    let (server, _) = upstream(move |_, mut peer| async move {
        let asked = peer.read().await.unwrap();
        peer.write(&formerr(&asked)).await;
    })
    .await;
    assert_eq!(ask(&streams(), server, "name").await, Ok(with_id_of_query(formerr(&[0, 0]))));
}

#[tokio::test]
async fn a_server_that_closes_after_each_answer_serves_all_the_same() {
    let (server, count) = upstream(async |_, mut peer: Peer| {
        let asked = peer.read().await.unwrap();
        peer.write(&response(&asked)).await;
    })
    .await;
    let streams = streams();
    for label in ["a", "b", "c"] {
        assert_eq!(ask(&streams, server, label).await, Ok(response(&query(label))));
    }
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

/// A server that answers this many queries on each connection, though more are there, and closes it.
async fn closes_after(answers: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let part = move |_, mut peer: Peer| async move {
        for _ in 0..answers {
            let Some(asked) = peer.read().await else { return };
            peer.write(&response(&asked)).await;
        }
    };
    upstream(part).await
}

#[tokio::test]
async fn all_of_many_queries_at_once_are_answered_by_a_server_that_closes_after_a_few() {
    for answers in [1, 2, 7] {
        let (server, count) = closes_after(answers).await;
        let streams = streams();
        let labels: Vec<String> = (0..250).map(|number| format!("n{number}")).collect();
        let asked = labels.iter().map(|label| streams.ask(server.into(), query(label), Instant::now() + 5 * SECOND));
        let results = futures_util::future::join_all(asked).await;
        let unanswered = results.iter().filter(|result| result.is_err()).count();
        assert_eq!(unanswered, 0, "after {answers}: {results:?}");
        let connections = count.load(Ordering::SeqCst);
        assert!(connections <= 3 * 250 / answers, "after {answers}: {connections} connections");
    }
}

#[tokio::test]
async fn more_queries_at_once_than_connections_have_room_for_are_all_answered() {
    let (server, count) = upstream(|_, peer| honest(peer)).await;
    let streams = streams();
    let labels: Vec<String> = (0..1000).map(|number| format!("n{number}")).collect();
    let asked = labels.iter().map(|label| streams.ask(server.into(), query(label), Instant::now() + 5 * SECOND));
    let results = futures_util::future::join_all(asked).await;
    assert!(results.iter().all(Result::is_ok));
    assert!(count.load(Ordering::SeqCst) <= 2, "no more connections than to any server (RFC 7766, section 6.2.2)");
}

#[tokio::test]
async fn a_query_that_makes_the_server_close_is_given_up_and_harms_no_other() {
    let (server, _) = upstream(async |_, mut peer: Peer| {
        while let Some(asked) = peer.read().await {
            if asked[12..].starts_with(b"\x04kill") {
                return;
            }
            peer.write(&response(&asked)).await;
        }
    })
    .await;
    let streams = streams();
    let labels = ["a", "kill", "b", "c"];
    let results = futures_util::future::join_all(labels.map(|label| ask(&streams, server, label))).await;
    let expected = labels.map(|label| match label {
        "kill" => Err(StreamError::Closed),
        label => Ok(response(&query(label))),
    });
    assert_eq!(results, expected);
}

#[tokio::test]
async fn what_was_in_flight_when_the_server_closed_is_asked_once_more() {
    let (server, count) = upstream(async |number, mut peer: Peer| {
        if number == 1 {
            for _ in 0..3 {
                peer.read().await;
            }
            // An empty message breaks the framing, which is as good as closing.
            return peer.write(&[]).await;
        }
        honest(peer).await;
    })
    .await;
    let streams = streams();
    let (a, b, c) = tokio::join!(ask(&streams, server, "a"), ask(&streams, server, "b"), ask(&streams, server, "c"));
    assert_eq!([a, b, c], ["a", "b", "c"].map(|label| Ok(response(&query(label)))));
    assert_eq!(count.load(Ordering::SeqCst), 2, "together on one new connection");
}

#[tokio::test]
async fn the_second_time_it_is_asked_on_a_connection_that_cannot_be_stale() {
    let (server, count) = upstream(async |number, mut peer: Peer| {
        if number > 2 {
            return honest(peer).await;
        }
        let asked = peer.read().await.unwrap();
        peer.write(&response(&asked)).await;
        peer.read().await;
    })
    .await;
    let streams = Streams::new(StreamLimits { in_flight: 1, ..StreamLimits::default() });
    let (a, b) = tokio::join!(ask(&streams, server, "a"), ask(&streams, server, "b"));
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(ask(&streams, server, "c").await, Ok(response(&query("c"))));
    assert_eq!(count.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_server_that_never_answers_and_hangs_up_is_asked_twice_and_no_more() {
    let (server, count) = upstream(async |_, mut peer: Peer| drop(peer.read().await)).await;
    assert_eq!(ask(&streams(), server, "name").await, Err(StreamError::Closed));
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_without_a_sign_of_life_is_not_asked_again() {
    let (server, count) = upstream(async |number, mut peer: Peer| match number {
        1 => while peer.read().await.is_some() {},
        _ => honest(peer).await,
    })
    .await;
    let streams = streams();
    let soon = Instant::now() + Duration::from_millis(50);
    assert_eq!(streams.ask(server.into(), query("lost"), soon).await, Err(StreamError::Timeout));
    assert_eq!(ask(&streams, server, "name").await, Ok(response(&query("name"))));
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_that_answers_others_outlives_a_lost_answer() {
    let (server, count) = upstream(async |_, mut peer: Peer| {
        peer.read().await;
        honest(peer).await;
    })
    .await;
    let streams = streams();
    let soon = Instant::now() + Duration::from_millis(100);
    let (lost, other) =
        tokio::join!(biased; streams.ask(server.into(), query("lost"), soon), ask(&streams, server, "other"));
    assert_eq!((lost, other), (Err(StreamError::Timeout), Ok(response(&query("other")))));
    assert_eq!(ask(&streams, server, "name").await, Ok(response(&query("name"))));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

/// Answers the first query of those that can be read at once, and drops the others.
async fn one_of_a_segment(mut peer: Peer) {
    let mut segment = vec![0; 65_536];
    while let Ok(length @ 1..) = peer.0.read(&mut segment).await {
        let first = 2 + usize::from(u16::from_be_bytes([segment[0], segment[1]]));
        assert!(first <= length, "tests write whole messages");
        peer.write(&response(&segment[2..first])).await;
    }
}

#[tokio::test]
async fn queries_that_a_server_dropped_from_a_segment_are_sent_again_one_at_a_time() {
    let (server, _) = upstream(|_, peer| one_of_a_segment(peer)).await;
    let streams = Streams::new(StreamLimits { silence: Duration::from_millis(50), ..StreamLimits::default() });
    let labels = ["a", "b", "c", "d", "e", "f", "g", "h"];
    for time in ["while it is not known", "once it is known"] {
        let results = futures_util::future::join_all(labels.map(|label| ask(&streams, server, label))).await;
        assert!(results.iter().all(Result::is_ok), "{time}: {results:?}");
    }
}

#[tokio::test]
async fn a_slow_response_is_taken_though_its_query_was_sent_again() {
    let (server, _) = upstream(async |number, mut peer: Peer| {
        while let Some(asked) = peer.read().await {
            if !asked[12..].starts_with(b"\x04slow") {
                peer.write(&response(&asked)).await;
            } else if number == 1 {
                tokio::time::sleep(Duration::from_millis(200)).await;
                peer.write(&response(&asked)).await;
            }
        }
    })
    .await;
    let streams = Streams::new(StreamLimits { silence: Duration::from_millis(50), ..StreamLimits::default() });
    let labels = ["a", "b", "slow", "c", "d"];
    let results = futures_util::future::join_all(labels.map(|label| ask(&streams, server, label))).await;
    assert_eq!(results, labels.map(|label| Ok(response(&query(label)))));
}

#[tokio::test]
async fn a_full_connection_makes_a_second_and_a_full_queue_is_busy() {
    let (server, count) = upstream(async |_, mut peer: Peer| while peer.read().await.is_some() {}).await;
    let streams = Streams::new(StreamLimits { in_flight: 1, queued: 3, ..StreamLimits::default() });
    let soon = Instant::now() + Duration::from_millis(100);
    let attempts = ["a", "b", "c", "d"].map(|label| streams.ask(server.into(), query(label), soon));
    let results = futures_util::future::join_all(attempts).await;
    let waited = StreamError::Timeout;
    assert_eq!(results, [waited, waited, waited, StreamError::Busy].map(Err));
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let (closed, mut told) = tokio::sync::mpsc::channel(1);
    let (server, _) = upstream(move |_, peer| {
        let closed = closed.clone();
        async move {
            honest(peer).await;
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let streams = Streams::new(StreamLimits { idle: Duration::from_millis(50), ..StreamLimits::default() });
    ask(&streams, server, "name").await.unwrap();
    timeout(SECOND, told.recv()).await.expect("closed").unwrap();
}

#[tokio::test]
async fn where_nothing_listens_it_is_refused_at_once() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap(); // and closed again
    assert_eq!(ask(&streams(), server, "name").await, Err(StreamError::Refused));
}

#[tokio::test]
async fn what_is_no_query_is_not_sent() {
    let (server, count) = upstream(|_, peer| honest(peer)).await;
    let cut = query("name")[..14].to_vec();
    for no_query in [vec![], vec![0; 12], cut] {
        let deadline = Instant::now() + SECOND;
        assert_eq!(streams().ask(server.into(), no_query, deadline).await, Err(StreamError::NotAQuery));
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}
