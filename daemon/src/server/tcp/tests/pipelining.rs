//! Many queries on one connection: answered as answers come, in bounded numbers, and no client has all the turns.

use super::*;

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
