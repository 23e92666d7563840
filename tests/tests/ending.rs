//! A node's resolver is restarted: what clients ask while it drains is answered, and it does not drain for long (issue
//! 11, H30).

use std::io::Write;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use onward_tests::dns::receive;
use onward_tests::hops;
use onward_tests::node::{self, Node, PRIVATE, address};
use onward_tests::query::{Query, types};
use onward_tests::realistic::{Manner, Realistic, names};
use onward_tests::{tcp, wait};

/// What a drain may take at most: misses in flight get a short time.
const DRAIN: Duration = wait::millis(1_500);
/// The last moment of a process, in which a question may meet a closed port.
const LAST_MOMENT: Duration = wait::millis(100);
/// The pace of a client: four of them make two thousand questions a second.
const PACE: Duration = wait::millis(2);

/// A question of a client and when it was sent; when its answer came, if it came, and with an address.
#[derive(Debug)]
struct Asked {
    name: String,
    sent: Instant,
    answered: Option<Instant>,
}

/// Asks at a steady pace until told to stop: each twentieth name is a slow one, of the others half are in the cache and
/// half are not.
fn ask(socket: &UdpSocket, label: &str, stop: &AtomicBool) -> Vec<Asked> {
    socket.set_nonblocking(true).unwrap();
    let mut all: Vec<Asked> = Vec::new();
    let hear = |all: &mut Vec<Asked>| {
        while let Some(answer) = receive(socket) {
            let one = all.get_mut(usize::from(answer.id())).expect("an answer to what was asked");
            one.answered = (answer.addresses() == [address(1)]).then(Instant::now).or(one.answered);
        }
    };
    for id in 0..u16::MAX {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let name = match id % 20 {
            0 => format!("www{id}-{label}.slow.example"),
            1..=9 => format!("www{id}-{label}.new.example"),
            _ => "www.known.example".to_owned(),
        };
        // A port that is closed shows up here: the question counts as lost.
        let _ = socket.send(&Query::new(&name, types::A).id(id).bytes());
        all.push(Asked { name, sent: Instant::now(), answered: None });
        hear(&mut all);
        sleep(PACE);
    }
    let end = Instant::now() + wait::millis(300);
    while Instant::now() < end {
        hear(&mut all);
        sleep(PACE);
    }
    all
}

#[test]
fn questions_that_come_while_it_drains_are_answered_to_the_last_moment() {
    let Some(host) = node::host() else { return };
    let server = Realistic::knowing("", 1).when(names(&["slow.example"]), Manner::Late(wait::seconds(5)));
    let _server = server.start(host.net(), hops::port(PRIVATE));
    let mut node = Node::start(&host, &[PRIVATE], "");
    assert_eq!(node.ask("www.known.example").0.addresses(), [address(1)]);
    let stop = AtomicBool::new(false);
    let (told, ended, all) = std::thread::scope(|scope| {
        let asking = ["a", "b", "c", "d"].map(|label| {
            let (socket, stop) = (node.client().socket(), &stop);
            scope.spawn(move || ask(&socket, label, stop))
        });
        sleep(wait::millis(700));
        let told = Instant::now();
        node.onward.signal(Signal::SIGTERM);
        node.onward.wait(wait::seconds(6));
        let ended = Instant::now();
        sleep(LAST_MOMENT);
        stop.store(true, Ordering::Relaxed);
        (told, ended, asking.into_iter().flat_map(|asking| asking.join().unwrap()).collect::<Vec<Asked>>())
    });
    let during = |one: &&Asked| one.sent > told && one.sent + LAST_MOMENT < ended;
    let of = |zone: &str| -> (usize, usize) {
        let asked: Vec<&Asked> = all.iter().filter(during).filter(|one| one.name.ends_with(zone)).collect();
        (asked.iter().filter(|one| one.answered.is_none()).count(), asked.len())
    };
    let (known, new) = (of("known.example"), of("new.example"));
    let mut answered: Vec<Instant> = all.iter().filter_map(|one| one.answered).filter(|at| *at > told).collect();
    answered.sort();
    let moments: Vec<Instant> = [vec![told], answered, vec![ended]].concat();
    let silence = moments.windows(2).map(|two| two[1].saturating_duration_since(two[0])).max().unwrap_or(DRAIN);
    println!(
        "drained for {:?}; lost of {} cached ones {}, of {} quick ones {}; silent for {silence:?}",
        ended - told,
        known.1,
        known.0,
        new.1,
        new.0
    );
    assert!(ended - told < DRAIN, "it drained for {:?}", ended - told);
    assert_eq!(known.0, 0, "cached ones that were lost of {} while it drained", known.1);
    assert_eq!(new.0, 0, "quick ones that were lost of {} while it drained", new.1);
    assert!(silence < wait::millis(250), "nobody was answered for {silence:?}");
}

/// What was asked before, and takes less than a drain, is answered.
#[test]
fn questions_in_flight_are_answered_while_it_drains() {
    let Some(host) = node::host() else { return };
    let server = Realistic::knowing("", 1)
        .when(names(&["late.example"]), Manner::Late(wait::millis(250)))
        .when(names(&["dead.example"]), Manner::Silent);
    let server = server.start(host.net(), hops::port(PRIVATE));
    let mut node = Node::start(&host, &[PRIVATE], "");
    let sockets: Vec<UdpSocket> = (0..10).map(|_| node.client().socket()).collect();
    node.send("www.dead.example");
    for (number, socket) in sockets.iter().enumerate() {
        socket.send(&Query::new(&format!("www{number}.late.example"), types::A).bytes()).unwrap();
    }
    wait::until(wait::seconds(1), || (server.count("www9.late.example") > 0).then_some(()))
        .expect("they are in flight");
    let told = Instant::now();
    node.onward.signal(Signal::SIGTERM);
    let answers: Vec<Vec<Ipv4Addr>> =
        sockets.iter().map(|socket| receive(socket).map(|answer| answer.addresses()).unwrap_or_default()).collect();
    assert_eq!(answers, vec![[address(1)]; 10]);
    assert!(node.onward.wait(wait::seconds(6)).success());
    assert!(told.elapsed() < DRAIN, "the dead name held it for {:?}", told.elapsed());
}

#[test]
fn a_client_over_tcp_is_answered_while_it_drains() {
    let Some(host) = node::host() else { return };
    let server = Realistic::knowing("", 1).when(names(&["late.example"]), Manner::Late(wait::millis(400)));
    let server = server.start(host.net(), hops::port(PRIVATE));
    let mut node = Node::start(&host, &[PRIVATE], "");
    assert_eq!(node.ask("www.known.example").0.addresses(), [address(1)]);
    let mut stream = node.client().connect();
    stream.send(&Query::new("www.late.example", types::A).id(1).bytes());
    wait::until(wait::seconds(1), || (server.count("www.late.example") > 0).then_some(())).expect("it is in flight");
    node.onward.signal(Signal::SIGTERM);
    sleep(wait::millis(100));
    let sent = stream.0.write_all(&tcp::framed(&Query::new("www.known.example", types::A).id(2).bytes()));
    assert!(sent.is_ok(), "the connection is open while an answer is due: {sent:?}");
    let mut ids: Vec<u16> = (0..2).filter_map(|_| stream.receive()).map(|answer| answer.id()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2]);
    assert!(node.onward.wait(wait::seconds(6)).success());
}
