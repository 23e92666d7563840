//! Who gives way when there are too many connections, and clients that are slow, broken or gone.

use super::*;

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
async fn the_room_is_one_for_all_addresses() {
    let script = Arc::new(Scripted { release: Semaphore::new(0), begun: AtomicUsize::new(0) });
    let shared = Arc::new(TcpServer::new(Arc::clone(&script), TcpLimits { connections: 2, ..limits() }));
    let one = Server::listen(Arc::clone(&script), Arc::clone(&shared)).await;
    let other = Server::listen(script, shared).await;
    let (mut first, mut second) = (one.connect().await, one.connect().await);
    for client in [&mut first, &mut second] {
        send(client, &[b"fast"]).await;
        assert_eq!(receive(client).await.unwrap(), b"fast");
    }
    let mut third = other.connect().await;
    send(&mut third, &[b"fast"]).await;
    assert_eq!(receive(&mut third).await.unwrap(), b"fast");
    assert_eq!(receive(&mut first).await, None, "a connection to one address gives way to one to another");
    send(&mut second, &[b"fast"]).await;
    assert_eq!(receive(&mut second).await.unwrap(), b"fast");
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

/// CVE-2024-8418 (aardvark-dns): one client that opens a connection and sends nothing, or a byte now and then, stopped
/// TCP for all others.
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
