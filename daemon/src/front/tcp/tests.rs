use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::turns::AT_ONCE;
use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Answers by the first byte of the "query": `f`ast, `s`low (waits to be released), `n`othing, `b`ig, `l`ater and big.
struct Scripted {
    release: Semaphore,
    begun: AtomicUsize,
}

impl Answer for Scripted {
    fn answer(
        &self,
        query: Vec<u8>,
        _: SocketAddr,
        _: SocketAddr,
    ) -> Answered<impl Future<Output = Option<Vec<u8>>> + Send> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        match query.first() {
            None | Some(b'n') => Answered::Now(None),
            Some(b'b') => Answered::Now(Some(vec![b'b'; 60_000])),
            Some(b's' | b'l') => Answered::Later(async {
                self.release.acquire().await.ok()?.forget();
                Some(if query[0] == b's' { query } else { vec![b'b'; 60_000] })
            }),
            Some(_) => Answered::Now(Some(query)),
        }
    }
}

/// A listener on loopback with its script.
struct Server {
    address: SocketAddr,
    script: Arc<Scripted>,
    stop: watch::Sender<bool>,
    task: JoinHandle<io::Result<()>>,
}

impl Server {
    async fn start(limits: TcpLimits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Scripted { release: Semaphore::new(0), begun: AtomicUsize::new(0) });
        let (stop, shutdown) = watch::channel(false);
        let task = tokio::spawn(serve(listener, limits, Arc::clone(&script), shutdown));
        Self { address, script, stop, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// So that answers cannot all hide in the kernel's buffers.
    async fn connect_with_small_window(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    async fn until_begun(&self, count: usize) {
        timeout(SECOND, async {
            while self.script.begun.load(Ordering::SeqCst) < count {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .expect("the queries arrive");
    }
}

fn limits() -> TcpLimits {
    TcpLimits { connections: 50, in_flight: 8, idle: 3 * SECOND, drain: 3 * SECOND }
}

fn frame(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

async fn send(client: &mut TcpStream, messages: &[&[u8]]) {
    let frames: Vec<u8> = messages.iter().flat_map(|message| frame(message)).collect();
    client.write_all(&frames).await.unwrap();
}

/// The next message; `None` when the server has hung up.
async fn receive(client: &mut TcpStream) -> Option<Vec<u8>> {
    timeout(2 * SECOND, async {
        let length = client.read_u16().await.ok()?;
        let mut message = vec![0; length.into()];
        client.read_exact(&mut message).await.ok()?;
        Some(message)
    })
    .await
    .expect("an answer, or the end, in time")
}

#[tokio::test]
async fn pipelined_queries_are_answered_out_of_order() {
    let server = Server::start(limits()).await;
    let mut client = server.connect().await;
    send(&mut client, &[b"slow", b"fast", b"nothing", b"f"]).await;
    assert_eq!(receive(&mut client).await.unwrap(), b"fast");
    assert_eq!(receive(&mut client).await.unwrap(), b"f");
    server.script.release.add_permits(1);
    assert_eq!(receive(&mut client).await.unwrap(), b"slow");
}

#[tokio::test]
async fn a_connection_has_a_bounded_number_of_queries_in_flight() {
    let server = Server::start(TcpLimits { in_flight: 2, ..limits() }).await;
    let mut client = server.connect().await;
    send(&mut client, &[b"s1", b"s2", b"s3", b"fast"]).await;
    server.until_begun(2).await;
    sleep(Duration::from_millis(50)).await;
    assert_eq!(server.script.begun.load(Ordering::SeqCst), 2);
    server.script.release.add_permits(3);
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(receive(&mut client).await.unwrap());
    }
    answers.sort();
    assert_eq!(answers, [&b"fast"[..], b"s1", b"s2", b"s3"]);
}

#[tokio::test]
async fn answers_that_are_there_go_out_though_no_further_query_may_come_in() {
    let server = Server::start(TcpLimits { in_flight: 1, ..limits() }).await;
    let mut client = server.connect().await;
    send(&mut client, &[b"f1", b"f2", b"slow", b"f3"]).await;
    assert_eq!(receive(&mut client).await.unwrap(), b"f1");
    assert_eq!(receive(&mut client).await.unwrap(), b"f2");
    server.script.release.add_permits(1);
    assert_eq!(receive(&mut client).await.unwrap(), b"slow");
    assert_eq!(receive(&mut client).await.unwrap(), b"f3");
}

#[tokio::test]
async fn a_thousand_queries_in_one_write_are_all_answered() {
    let server = Server::start(limits()).await;
    let mut client = server.connect().await;
    let queries: Vec<Vec<u8>> = (0..1000).map(|number| format!("f{number}").into_bytes()).collect();
    send(&mut client, &queries.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
    for query in queries {
        assert_eq!(receive(&mut client).await.unwrap(), query);
    }
}

#[tokio::test]
async fn others_have_their_turn_while_a_client_asks_without_end() {
    let server = Server::start(limits()).await;
    let mut client = server.connect().await;
    let queries: Vec<Vec<u8>> = (0..1000).map(|number| format!("f{number}").into_bytes()).collect();
    send(&mut client, &queries.iter().map(Vec::as_slice).collect::<Vec<_>>()).await;
    // All tasks of this test share one thread, so this one sees how far the connection comes in each of its turns.
    let (script, mut before, mut most) = (Arc::clone(&server.script), 0, 0);
    let observer = tokio::spawn(std::future::poll_fn(move |cx| {
        let begun = script.begun.load(Ordering::SeqCst);
        most = most.max(begun - before);
        before = begun;
        cx.waker().wake_by_ref();
        if begun < 1000 { Poll::Pending } else { Poll::Ready(most) }
    }));
    let most = timeout(SECOND, observer).await.expect("the queries arrive").unwrap();
    assert_eq!(most, AT_ONCE);
    for query in queries {
        assert_eq!(receive(&mut client).await.unwrap(), query);
    }
}

#[tokio::test]
async fn a_query_may_come_in_pieces_and_what_is_whole_does_not_wait_for_the_rest() {
    let server = Server::start(limits()).await;
    let mut client = server.connect().await;
    let frames = [frame(b"first"), frame(b"fs")].concat();
    for cut in 1..frames.len() {
        let (now, later) = frames.split_at(cut);
        client.write_all(now).await.unwrap();
        let first_is_whole = cut >= 7;
        if first_is_whole {
            assert_eq!(receive(&mut client).await.unwrap(), b"first", "cut at {cut}");
        }
        client.write_all(later).await.unwrap();
        if !first_is_whole {
            assert_eq!(receive(&mut client).await.unwrap(), b"first", "cut at {cut}");
        }
        assert_eq!(receive(&mut client).await.unwrap(), b"fs", "cut at {cut}");
    }
}

#[tokio::test]
async fn three_hundred_idle_connections_do_not_lock_out_a_newcomer() {
    let server = Server::start(limits()).await;
    let mut idle = Vec::new();
    for _ in 0..300 {
        idle.push(server.connect().await);
    }
    let mut newcomer = server.connect().await;
    send(&mut newcomer, &[b"fast"]).await;
    assert_eq!(receive(&mut newcomer).await.unwrap(), b"fast");
    assert_eq!(receive(&mut idle[0]).await, None, "the oldest gave way");
    send(&mut idle[299], &[b"fast"]).await;
    assert_eq!(receive(&mut idle[299]).await.unwrap(), b"fast", "the youngest did not");
}

#[tokio::test]
async fn a_client_that_asks_is_not_the_one_that_was_idle_longest() {
    let server = Server::start(TcpLimits { connections: 2, ..limits() }).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    for client in [&mut second, &mut first] {
        send(client, &[b"fast"]).await;
        assert_eq!(receive(client).await.unwrap(), b"fast");
    }
    let mut newcomer = server.connect().await;
    assert_eq!(receive(&mut second).await, None);
    for client in [&mut newcomer, &mut first] {
        send(client, &[b"fast"]).await;
        assert_eq!(receive(client).await.unwrap(), b"fast");
    }
}

#[tokio::test]
async fn a_connection_that_waits_for_an_answer_does_not_give_way() {
    let server = Server::start(TcpLimits { connections: 1, ..limits() }).await;
    let mut busy = server.connect().await;
    send(&mut busy, &[b"slow"]).await;
    server.until_begun(1).await;
    let mut newcomer = server.connect().await;
    assert_eq!(receive(&mut newcomer).await, None);
    server.script.release.add_permits(1);
    assert_eq!(receive(&mut busy).await.unwrap(), b"slow");
    let mut newcomer = server.connect().await;
    assert_eq!(receive(&mut busy).await, None, "idle again, it gives way");
    send(&mut newcomer, &[b"fast"]).await;
    assert_eq!(receive(&mut newcomer).await.unwrap(), b"fast");
}

/// CVE-2024-8418 (aardvark-dns): one client that opens a connection and sends nothing, or a byte now and then, stopped TCP
/// for all others.
#[tokio::test]
async fn slowloris_a_query_sent_byte_by_byte_ends_in_time_and_hinders_nobody() {
    let idle = Duration::from_millis(300);
    let server = Server::start(TcpLimits { idle, ..limits() }).await;
    let mut trickler = server.connect().await;
    let started = Instant::now();
    trickler.write_all(&[0x01]).await.unwrap();
    let mut other = server.connect().await;
    send(&mut other, &[b"fast"]).await;
    assert_eq!(receive(&mut other).await.unwrap(), b"fast");
    while trickler.write_all(&[0x01]).await.is_ok() {
        assert!(started.elapsed() < 2 * SECOND, "still there");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(started.elapsed() >= idle);
    assert_eq!(server.script.begun.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answers_is_ended() {
    let idle = Duration::from_millis(300);
    let server = Server::start(TcpLimits { idle, in_flight: 256, ..limits() }).await;
    let mut client = server.connect_with_small_window().await;
    send(&mut client, &[&b"big"[..]; 256]).await;
    sleep(3 * idle).await;
    assert!(server.script.begun.load(Ordering::SeqCst) < 256, "queries are read though no answer is taken");
    let mut taken = Vec::new();
    let _ = timeout(2 * SECOND, client.read_to_end(&mut taken)).await.expect("the end");
    assert!(taken.len() < 256 * 60_002, "all of it came");
}

#[tokio::test]
async fn garbage_frames_end_a_connection_or_reach_the_one_who_answers() {
    let server = Server::start(limits()).await;
    for garbage in [frame(b""), frame(&[0; 65_535]), frame(&[0; 4097])] {
        let mut client = server.connect().await;
        client.write_all(&garbage).await.unwrap();
        assert_eq!(receive(&mut client).await, None);
    }
    assert_eq!(server.script.begun.load(Ordering::SeqCst), 0);
    let mut client = server.connect().await;
    send(&mut client, &[b"n", b"f", &[b'f'; 4096]]).await;
    assert_eq!(receive(&mut client).await.unwrap(), b"f");
    assert_eq!(receive(&mut client).await.unwrap().len(), 4096);
}

#[tokio::test]
async fn a_client_that_goes_before_its_answer_hinders_nobody() {
    let server = Server::start(TcpLimits { connections: 1, ..limits() }).await;
    let mut gone = server.connect().await;
    send(&mut gone, &[b"big", b"slow"]).await;
    server.until_begun(2).await;
    // Unread answers in its buffer: this resets the connection.
    drop(gone);
    timeout(SECOND, async {
        loop {
            let mut client = server.connect().await;
            let _ = client.write_all(&frame(b"fast")).await;
            if receive(&mut client).await.is_some() {
                break;
            }
        }
    })
    .await
    .expect("its place is free");
}

#[tokio::test]
async fn a_client_that_has_no_more_to_ask_still_gets_its_answers() {
    let server = Server::start(limits()).await;
    let mut client = server.connect().await;
    send(&mut client, &[b"slow", b"slow too"]).await;
    client.shutdown().await.unwrap();
    server.until_begun(2).await;
    server.script.release.add_permits(2);
    assert_eq!(receive(&mut client).await.unwrap().len() + receive(&mut client).await.unwrap().len(), 12);
    assert_eq!(receive(&mut client).await, None);
}

#[tokio::test]
async fn answers_that_are_there_wait_for_no_later_one_though_the_client_has_no_more_to_ask() {
    let server = Server::start(limits()).await;
    let mut client = server.connect().await;
    send(&mut client, &[b"s1", b"s2", b"fast"]).await;
    client.shutdown().await.unwrap();
    server.until_begun(3).await;
    assert_eq!(receive(&mut client).await.unwrap(), b"fast");
    for query in [b"s1", b"s2"] {
        server.script.release.add_permits(1);
        assert_eq!(receive(&mut client).await.unwrap(), query);
    }
    assert_eq!(receive(&mut client).await, None);
}

#[tokio::test]
async fn a_client_that_has_no_more_to_ask_gets_all_of_its_answers_though_it_takes_them_slowly() {
    const COUNT: usize = 250;
    let server = Server::start(TcpLimits { in_flight: 2 * COUNT, ..limits() }).await;
    let mut client = server.connect_with_small_window().await;
    send(&mut client, &[vec![&b"later, big"[..]; COUNT], vec![b"fast"]].concat()).await;
    client.shutdown().await.unwrap();
    server.until_begun(COUNT + 1).await;
    server.script.release.add_permits(COUNT);
    for _ in 0..=COUNT {
        assert!(receive(&mut client).await.is_some());
    }
    assert_eq!(receive(&mut client).await, None);
}

#[tokio::test]
async fn on_shutdown_answers_that_are_there_wait_for_no_later_one() {
    let server = Server::start(limits()).await;
    let (mut client, mut idle) = (server.connect().await, server.connect().await);
    send(&mut client, &[b"s1", b"s2"]).await;
    server.until_begun(2).await;
    server.stop.send(true).unwrap();
    assert_eq!(receive(&mut idle).await, None);
    for query in [b"s1", b"s2"] {
        server.script.release.add_permits(1);
        assert_eq!(receive(&mut client).await.unwrap(), query);
    }
    assert_eq!(receive(&mut client).await, None);
}

#[tokio::test]
async fn on_shutdown_what_is_in_flight_is_answered() {
    let server = Server::start(limits()).await;
    let (mut client, mut idle) = (server.connect().await, server.connect().await);
    send(&mut client, &[b"slow"]).await;
    client.write_all(&[0]).await.unwrap(); // half a length: never to be a query
    server.until_begun(1).await;
    server.stop.send(true).unwrap();
    assert_eq!(receive(&mut idle).await, None);
    assert!(TcpStream::connect(server.address).await.is_err(), "no newcomers");
    server.script.release.add_permits(1);
    assert_eq!(receive(&mut client).await.unwrap(), b"slow");
    assert_eq!(receive(&mut client).await, None);
    timeout(SECOND, server.task).await.expect("ends").unwrap().unwrap();
}

#[tokio::test]
async fn on_shutdown_the_wait_is_bounded() {
    let server = Server::start(TcpLimits { drain: Duration::from_millis(50), ..limits() }).await;
    let mut client = server.connect().await;
    send(&mut client, &[b"slow"]).await;
    server.until_begun(1).await;
    server.stop.send(true).unwrap();
    timeout(SECOND, server.task).await.expect("ends").unwrap().unwrap();
    assert_eq!(receive(&mut client).await, None);
}

#[test]
fn errors_of_accept_are_sorted() {
    for (errno, trouble) in [
        (Errno::ECONNABORTED, Trouble::Connection),
        (Errno::EPROTO, Trouble::Connection),
        (Errno::EHOSTUNREACH, Trouble::Connection),
        (Errno::EPERM, Trouble::Connection),
        (Errno::EINTR, Trouble::Connection),
        (Errno::EMFILE, Trouble::Room),
        (Errno::ENFILE, Trouble::Room),
        (Errno::ENOBUFS, Trouble::Room),
        (Errno::ENOMEM, Trouble::Room),
        (Errno::EBADF, Trouble::Listener),
        (Errno::EINVAL, Trouble::Listener),
        (Errno::ENOTSOCK, Trouble::Listener),
    ] {
        assert_eq!(Trouble::of(&errno.into()), trouble, "{errno}");
    }
}
