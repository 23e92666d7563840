//! What is still answered when the client has no more to ask, or when we are told to stop.

use super::*;

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
    server.stop.send(Ending::Finish).unwrap();
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
    server.stop.send(Ending::Finish).unwrap();
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
    server.stop.send(Ending::Finish).unwrap();
    timeout(SECOND, server.task).await.expect("ends").unwrap().unwrap();
    assert_eq!(receive(&mut client).await, None);
}

/// What is unanswered, half a message, and an answer that is not written yet: the client notices nothing but the time.
#[tokio::test]
async fn a_connection_is_left_to_the_next_process_as_it_stands() {
    let server = Server::start(limits()).await;
    let mut client = server.connect().await;
    send(&mut client, &[b"s1", b"fast", b"s2"]).await;
    let half = frame(b"fast after half");
    client.write_all(&half[..5]).await.unwrap();
    server.until_begun(3).await;
    assert_eq!(receive(&mut client).await.unwrap(), b"fast");
    server.stop.send(Ending::HandOver).unwrap();
    let left = timeout(SECOND, server.task).await.expect("ends").unwrap().unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].unread, [&frame(b"s1")[..], &frame(b"s2"), &half[..5]].concat());

    let script = Arc::new(Scripted { release: Semaphore::new(2), begun: AtomicUsize::new(0) });
    let shared = Arc::new(TcpServer::new(Arc::clone(&script), limits()));
    let _next = Server::succeed(script, shared, left).await;
    client.write_all(&half[5..]).await.unwrap();
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(receive(&mut client).await.unwrap());
    }
    answers.sort();
    assert_eq!(answers, [&b"fast after half"[..], b"s1", b"s2"]);
    send(&mut client, &[b"fast"]).await;
    assert_eq!(receive(&mut client).await.unwrap(), b"fast");
}

#[tokio::test]
async fn a_client_that_takes_no_bytes_is_not_left_to_the_next_process() {
    let server = Server::start(limits()).await;
    let mut client = server.connect_with_small_window().await;
    for _ in 0..200 {
        let sent = timeout(Duration::from_millis(50), send(&mut client, &[b"big"])).await;
        if sent.is_err() {
            break;
        }
    }
    sleep(Duration::from_millis(50)).await;
    server.stop.send(Ending::HandOver).unwrap();
    let left = timeout(SECOND, server.task).await.expect("ends at once").unwrap().unwrap();
    assert!(left.is_empty(), "{} connections", left.len());
}
