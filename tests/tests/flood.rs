//! Under a flood: 200,000 random names, 10,000 messages of garbage a second, slow TCP clients by the hundred, all at
//! once. What is cached still flows, ordinary questions and TCP clients that behave are still served, memory stays
//! within what the settings allow, and afterwards everything is as before.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use onward_tests::dns::{Answer, Stream, rcode};
use onward_tests::flood::Flood;
use onward_tests::lab::{Lab, NODE_IP, UPSTREAMS};
use onward_tests::process::Process;
use onward_tests::query::{Query, types};
use onward_tests::upstream::{Reply, Scripted, Seen};
use onward_tests::{onward, tcp, wait};

const SERVER: SocketAddr = SocketAddr::new(NODE_IP, 53);
/// What a client waits at most.
const PATIENCE: Duration = wait::millis(1_800);
/// The flood: random names in all and a second, garbage a second, slow clients.
const NAMES: u64 = 200_000;
const RATE: u64 = 10_000;
const GARBAGE: u64 = 10_000;
const SLOW: usize = 400;
/// Names that nobody answers.
const SILENT: u64 = 7_000;
const SILENT_RATE: u64 = 2_000;
/// How long a question may be in flight, though its client is long gone, and a little more.
const OUTLIVES: Duration = wait::millis(6_500);
/// A flood that takes longer than this was not sent.
const LATE: Duration = wait::seconds(60);
/// Names that are kept in the cache by being asked.
const KNOWN: usize = 20;
/// TTL of every name, in seconds: no entry ends, or is asked for early, before a test ends.
const TTL: u32 = 3600;

/// The settings from which the bound of the memory follows; what one of each may take, with what the allocator adds.
const CACHE: usize = 8 << 20;
const MISSES: usize = 4096;
const CONNECTIONS: usize = 256;
const OF_THE_CACHE: f64 = 1.25;
const OF_A_MISS: usize = 2 << 10;
const OF_A_CONNECTION: usize = 48 << 10;
const SETTINGS: &str = "[cache]\nmax_bytes = \"8MiB\"\n[limits]\nmisses = 4096\ntcp_connections = 256\n";

fn setup() -> Option<(Lab, Scripted, Process)> {
    let lab = Lab::new()?;
    let script = |seen: &Seen| match seen.name() {
        name if name.ends_with("silent.test") => Reply::silence(),
        _ => Reply::now(seen.address([192, 0, 2, 1], TTL)),
    };
    let upstream = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), script);
    lab.node.write(onward::CONFIGURATION, SETTINGS);
    let onward = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
    Some((lab, upstream, onward))
}

/// What became of the questions of one kind: how long each took, and what came.
#[derive(Debug, Default)]
struct Served(Vec<(Duration, Outcome)>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Address,
    ServFail,
    Nothing,
}

impl Served {
    /// How long those with this outcome took, the quickest first.
    fn times(&self, outcome: Outcome) -> Vec<Duration> {
        let mut times: Vec<Duration> = self.0.iter().filter(|one| one.1 == outcome).map(|one| one.0).collect();
        times.sort_unstable();
        times
    }

    /// The part of all that got an address.
    fn share(&self) -> f64 {
        self.times(Outcome::Address).len() as f64 / self.0.len() as f64
    }

    fn tell(&self, what: &str) {
        let times = self.times(Outcome::Address);
        let at = |hundredths: usize| times.get(times.len() * hundredths / 100).copied().unwrap_or_default();
        let (all, good, median, most) = (self.0.len(), times.len(), at(50), at(99));
        println!("  {what}: {good} of {all} answered, half within {median:?}, 99 of 100 within {most:?}");
    }
}

/// How clients that behave fare.
#[derive(Debug)]
struct Measured {
    hits: Served,
    misses: Served,
    streams: Served,
}

impl Measured {
    /// Asks until `over`: for what is cached, for what is not, and over a TCP connection of its own for what is cached.
    fn take(lab: &Lab, title: &str, mut over: impl FnMut() -> bool) -> Self {
        let stop = AtomicBool::new(false);
        let measured = scope(|scope| {
            let hits = scope.spawn(|| repeat(&stop, wait::millis(5), |number| over_udp(lab, &known(number))));
            let misses = scope.spawn(|| repeat(&stop, wait::millis(20), |number| twice(lab, &fresh(title, number))));
            let streams = scope.spawn(|| repeat(&stop, wait::millis(50), |number| over_tcp(lab, &known(number))));
            while !over() {
                sleep(wait::millis(50));
            }
            stop.store(true, Ordering::Relaxed);
            let [hits, misses, streams] = [hits, misses, streams].map(|thread| thread.join().expect("a client"));
            Self { hits, misses, streams }
        });
        println!("{title}:");
        measured.hits.tell("cached");
        measured.misses.tell("not cached");
        measured.streams.tell("cached, a TCP connection each");
        measured
    }
}

fn known(number: usize) -> String {
    format!("known{}.good.test", number % KNOWN)
}

/// Has the cache know the names; how often the upstream was asked for them.
fn warm(lab: &Lab, upstream: &Scripted) -> usize {
    (0..KNOWN).for_each(|number| assert!(over_udp(lab, &known(number)).is_some()));
    upstream.count_of("known")
}

/// A name that was lost from the cache is answered too, but only by asking the upstream again.
fn assert_kept(upstream: &Scripted, asked: usize) {
    let again = upstream.count_of("known") - asked;
    assert_eq!(again, 0, "the upstream was asked again for names that are asked all the time");
}

fn fresh(title: &str, number: usize) -> String {
    format!("fresh{number}-{}.good.test", title.replace(' ', "-"))
}

fn repeat(stop: &AtomicBool, pace: Duration, ask: impl Fn(usize) -> Option<Answer>) -> Served {
    let mut served = Served::default();
    while !stop.load(Ordering::Relaxed) {
        let began = Instant::now();
        let outcome = match ask(served.0.len()) {
            Some(answer) if !answer.addresses().is_empty() => Outcome::Address,
            Some(answer) if answer.rcode() == rcode::SERVFAIL => Outcome::ServFail,
            _ => Outcome::Nothing,
        };
        served.0.push((began.elapsed(), outcome));
        sleep(pace);
    }
    served
}

fn over_udp(lab: &Lab, name: &str) -> Option<Answer> {
    lab.client().exchange(&Query::new(name, types::A).bytes(), PATIENCE)
}

/// As libc does, which asks again where the first try failed.
fn twice(lab: &Lab, name: &str) -> Option<Answer> {
    over_udp(lab, name).filter(|answer| !answer.addresses().is_empty()).or_else(|| over_udp(lab, name))
}

fn over_tcp(lab: &Lab, name: &str) -> Option<Answer> {
    let mut stream = Stream(lab.pod.net().connect(SERVER).ok()?);
    stream.0.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.0.write_all(&tcp::framed(&Query::new(name, types::A).bytes())).ok()?;
    stream.receive()
}

/// Resident memory, in bytes.
fn memory(process: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its resident memory");
    let kibibytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kibibytes << 10
}

/// These tests take all of the machine, so one goes after the other.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn random_names_garbage_and_slow_clients_at_once() {
    let _alone = ALONE.lock();
    let Some((lab, upstream, mut onward)) = setup() else { return };
    let asked = warm(&lab, &upstream);
    let idle = memory(&onward);
    let before = Measured::take(&lab, "before", for_a_while());

    let mut flood = Flood::new(lab.pod.net(), SERVER);
    flood.slow_clients(SLOW, &known(0), "unknown.silent.test");
    flood.garbage(GARBAGE);
    flood.names("flood.good.test", NAMES, RATE);
    let (mut half, mut whole, late) = (0, 0, Instant::now() + LATE);
    let flooded = Measured::take(&lab, "flooded", || {
        let part = if flood.asked() < NAMES / 2 { &mut half } else { &mut whole };
        *part = memory(&onward).max(*part);
        flood.asked() == NAMES || Instant::now() > late
    });
    assert_eq!(flood.asked(), NAMES, "all names were asked within {LATE:?}");
    drop(flood);
    let after = Measured::take(&lab, "afterwards", for_a_while());
    assert_eq!(onward.ended(), None, "{}", onward.output());
    for measured in [before, flooded, after] {
        assert!(measured.hits.share() >= 0.99, "{:?}", measured.hits);
        assert!(measured.streams.share() >= 0.99, "{:?}", measured.streams);
        // On a busy machine it is the upstream that falls behind; then some find no place, and are told so.
        assert!(measured.misses.share() >= 0.9, "{:?}", measured.misses);
    }
    assert_kept(&upstream, asked);
    let most = idle + (CACHE as f64 * OF_THE_CACHE) as usize + MISSES * OF_A_MISS + CONNECTIONS * OF_A_CONNECTION;
    let kib = [idle, half, whole, most].map(|bytes| bytes >> 10);
    println!(
        "memory, KiB: {} before, at most {} and {} in the halves of the flood; allowed: {}",
        kib[0], kib[1], kib[2], kib[3]
    );
    assert!(half.max(whole) <= most, "KiB: {kib:?}");
    // The cache is full long before the first half is over; a hundred bytes lost with each name would be more than
    // this.
    assert!(whole <= half + half / 4, "it goes on growing; KiB: {kib:?}");
}

/// A domain whose servers are silent: each name of it takes a place among the questions in flight until it is given up.
#[test]
fn names_that_nobody_answers() {
    let _alone = ALONE.lock();
    let Some((lab, upstream, mut onward)) = setup() else { return };
    let asked = warm(&lab, &upstream);
    let mut flood = Flood::new(lab.pod.net(), SERVER);
    flood.names("silent.test", SILENT, SILENT_RATE);
    let late = Instant::now() + LATE;
    let flooded = Measured::take(&lab, "silent", || flood.asked() == SILENT || Instant::now() > late);
    assert!(flooded.hits.share() >= 0.99, "{:?}", flooded.hits);
    assert!(flooded.streams.share() >= 0.99, "{:?}", flooded.streams);
    drop(flood);
    assert_kept(&upstream, asked);
    // Who asks for what is not cached while all places are taken is told so at once: no answer can come.
    let refused = flooded.misses.times(Outcome::ServFail);
    let median = refused.get(refused.len() / 2).expect("the places were never all taken");
    assert!(*median < PATIENCE / 4, "{refused:?}");

    sleep(OUTLIVES);
    let first = over_udp(&lab, "first.good.test").expect("an answer");
    assert_eq!(first.addresses().len(), 1, "{first:?}");
    // Every place is free again: nearly all of them are taken at once, and one more question is answered.
    let socket = lab.client().socket();
    for number in 0..MISSES - MISSES / 8 {
        socket.send(&Query::new(&format!("again{number}.silent.test"), types::A).bytes()).expect("send");
        if number % 64 == 0 {
            sleep(wait::millis(5));
        }
    }
    let last = over_udp(&lab, "last.good.test").expect("an answer");
    assert_eq!(last.addresses().len(), 1, "{last:?}");
    assert_eq!(onward.ended(), None, "{}", onward.output());
}

/// Over after two seconds.
fn for_a_while() -> impl FnMut() -> bool {
    let end = Instant::now() + wait::seconds(2);
    move || Instant::now() > end
}
