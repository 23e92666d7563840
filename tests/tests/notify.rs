//! What systemd is told (sd_notify(3)): the test holds the socket that `$NOTIFY_SOCKET` names, as systemd would.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use onward_tests::flood::Flood;
use onward_tests::lab::{Lab, NODE, UPSTREAMS};
use onward_tests::process::Process;
use onward_tests::upstream::{Reply, Scripted, Seen};
use onward_tests::{onward, peers, wait};

/// systemd's end of the socket.
struct Manager<'l> {
    lab: &'l Lab,
    socket: UnixDatagram,
}

impl<'l> Manager<'l> {
    fn new(lab: &'l Lab) -> Self {
        let socket = UnixDatagram::bind(lab.node.path("/notify")).expect("a socket for notifications");
        Self { lab, socket }
    }

    fn start(&self, arguments: &[&str]) -> Process {
        self.start_with(&[], arguments)
    }

    fn start_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Process {
        let binary = peers::onward().display().to_string();
        let mut words = vec![binary.as_str(), "run"];
        words.extend(arguments);
        let mut command = self.lab.node.command(&words);
        command.env("NOTIFY_SOCKET", self.lab.node.path("/notify")).envs(variables.iter().copied());
        Process::start("onward", command, self.lab.node.path("/onward.log"))
    }

    /// The next message, if one comes in time.
    fn next(&self, limit: Duration) -> Option<Message> {
        let mut buffer = [0; 4096];
        self.socket.set_read_timeout(Some(limit)).unwrap();
        let length = wait::uninterrupted(|| self.socket.recv(&mut buffer)).ok()?;
        Some(Message(String::from_utf8(buffer[..length].to_vec()).expect("UTF-8")))
    }

    /// The messages up to the first that says `name`=1, that one being the last.
    fn until(&self, name: &str, limit: Duration, process: &Process) -> Vec<Message> {
        let end = Instant::now() + limit;
        let mut messages = Vec::new();
        while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            messages.extend(self.next(left));
            if messages.last().is_some_and(|message| message.says(name)) {
                return messages;
            }
        }
        panic!("no {name}=1, only {messages:?}:\n{}", process.output());
    }
}

/// Lines of `NAME=value`.
#[derive(Debug)]
struct Message(String);

impl Message {
    fn value(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }

    fn says(&self, name: &str) -> bool {
        self.value(name) == Some("1")
    }
}

/// How many times the watchdog hears from the service within `time`.
fn words(manager: &Manager<'_>, time: Duration) -> usize {
    let end = Instant::now() + time;
    let mut words = 0;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        words += usize::from(manager.next(left).is_some_and(|message| message.says("WATCHDOG")));
    }
    words
}

/// The thread of a process that has this name.
fn thread(process: &Process, name: &str) -> Pid {
    let threads = std::fs::read_dir(format!("/proc/{}/task", process.id())).expect("its threads");
    let mut paths = threads.map(|thread| thread.expect("a thread").path());
    let path = paths.find(|path| std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim_end() == name));
    let path = path.unwrap_or_else(|| panic!("no thread of the name {name}"));
    Pid::from_raw(path.file_name().unwrap().to_str().unwrap().parse().expect("a number"))
}

/// The clock that systemd compares MONOTONIC_USEC with, in microseconds.
fn monotonic() -> u128 {
    Duration::from(clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap()).as_micros()
}

#[test]
fn a_life_under_systemd() {
    let Some(lab) = Lab::new() else { return };
    let script = |seen: &Seen| Reply::now(seen.address([192, 0, 2, 1], 60));
    let _first = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), script);
    let _second = Scripted::start(lab.upstream.net(), Lab::upstream_address(1), script);
    let configuration = |number: usize| format!("[upstreams]\nservers = [\"{}\"]\n", UPSTREAMS[number]);
    lab.node.write(onward::CONFIGURATION, &configuration(0));
    let manager = Manager::new(&lab);
    let mut process = manager.start(&[]);

    let begun = manager.until("READY", wait::seconds(10), &process);
    assert_eq!(begun.len(), 1, "nothing is told before READY: {begun:?}");
    let file = lab.node.path(onward::RESOLV_CONF);
    assert!(file.exists(), "READY means that kubelet finds the file");
    assert_eq!(lab.client().addresses("ready.test").len(), 1, "READY means that questions are answered");
    let status = begun[0].value("STATUS").expect("STATUS beside READY").to_owned();
    assert!(status.contains("10.99.0.1:53") && status.contains(UPSTREAMS[0]), "{status}");

    lab.node.write(onward::CONFIGURATION, &configuration(1));
    let earliest = monotonic();
    process.signal(Signal::SIGHUP);
    let reloading = manager.until("RELOADING", wait::seconds(5), &process).pop().unwrap();
    let at: u128 = reloading.value("MONOTONIC_USEC").expect("the time").parse().expect("a number");
    assert!((earliest..=monotonic()).contains(&at), "{at} is not between {earliest} and now");
    let again = manager.until("READY", wait::seconds(5), &process).pop().unwrap();
    let status = again.value("STATUS").expect("STATUS beside READY");
    assert!(status.contains(UPSTREAMS[1]) && !status.contains(UPSTREAMS[0]), "{status}");

    lab.node.write(onward::CONFIGURATION, "lisen = []\n");
    process.signal(Signal::SIGHUP);
    let told = manager.until("READY", wait::seconds(5), &process);
    assert!(told[0].says("RELOADING"), "a faulty configuration ends the reload too: {told:?}");

    process.signal(Signal::SIGTERM);
    manager.until("STOPPING", wait::seconds(5), &process);
    let ended = process.wait(wait::seconds(5));
    assert!(ended.success(), "{ended}:\n{}", process.output());
    assert!(file.exists(), "kubelet makes no pod without the file, so it stays");
}

#[test]
fn a_node_without_an_address_does_not_hold_up_the_boot() {
    let Some(lab) = Lab::new() else { return };
    lab.node.net().ip(&format!("address del {NODE}/24 dev eth0"));
    lab.node.net().ip("address del 10.244.0.1/24 dev pod0");
    let manager = Manager::new(&lab);
    let process = manager.start(&["--upstream", UPSTREAMS[0]]);

    let begun = Instant::now();
    let ready = manager.until("READY", wait::seconds(30), &process).pop().unwrap();
    let took = begun.elapsed();
    assert!(wait::seconds(15) < took && took < wait::seconds(25), "{took:?}: DHCP has 20 s to bring an address");
    let status = ready.value("STATUS").expect("STATUS beside READY");
    assert!(status.starts_with("degraded: "), "{status}");
    assert!(!lab.node.path(onward::RESOLV_CONF).exists(), "no file that names an address that is not there");

    lab.node.net().address("eth0", &format!("{NODE}/24"));
    lab.node.net().ip(&format!("route add default via {}", UPSTREAMS[0]));
    let healed = wait::until(wait::seconds(10), || {
        manager
            .next(wait::seconds(5))?
            .value("STATUS")
            .filter(|status| status.contains("10.99.0.1:53"))
            .map(str::to_owned)
    });
    assert!(healed.is_some(), "the STATUS still says \"{status}\":\n{}", process.output());
    assert!(lab.node.path(onward::RESOLV_CONF).exists(), "{}", process.output());
}

#[test]
fn only_a_worker_that_is_stuck_keeps_the_watchdogs_word_back() {
    let Some(lab) = Lab::new() else { return };
    let upstream = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), |_: &Seen| Reply::silence());
    let manager = Manager::new(&lab);
    let variables = [("WATCHDOG_USEC", "2000000"), ("ONWARD_WORKERS", "2")];
    let mut process = manager.start_with(&variables, &["--upstream", UPSTREAMS[0]]);
    manager.until("READY", wait::seconds(10), &process);
    assert!(words(&manager, wait::seconds(2)) >= 3, "at a quarter of the limit, each:\n{}", process.output());

    // Names that nobody answers, as fast as they come; then an address and an upstream that are gone.
    let mut flood = Flood::new(lab.pod.net(), (onward_tests::lab::NODE_IP, 53).into());
    flood.names("silent.test", 1_000_000, 20_000);
    assert!(words(&manager, wait::seconds(4)) >= 5, "a flood is no reason:\n{}", process.output());
    drop(flood);
    drop(upstream);
    lab.node.net().ip(&format!("address del {NODE}/24 dev eth0"));
    assert!(words(&manager, wait::seconds(4)) >= 5, "nor is a lost address:\n{}", process.output());
    process.signal(Signal::SIGSTOP);
    std::thread::sleep(wait::seconds(1));
    process.signal(Signal::SIGCONT);
    assert!(words(&manager, wait::seconds(2)) >= 2, "nor a short stop:\n{}", process.output());

    let worker = thread(&process, "worker-1");
    ptrace::seize(worker, ptrace::Options::empty()).expect("hold of one thread");
    ptrace::interrupt(worker).expect("stop it");
    words(&manager, wait::millis(600)); // what was on its way
    assert_eq!(words(&manager, wait::seconds(4)), 0, "one of two workers stands still:\n{}", process.output());
    process.wait_for_line("1 of the workers did not answer", wait::seconds(1));
    nix::sys::wait::waitpid(worker, Some(nix::sys::wait::WaitPidFlag::__WALL)).expect("it has stopped");
    ptrace::detach(worker, None).expect("let it go");
    assert!(words(&manager, wait::seconds(2)) >= 2, "it works again:\n{}", process.output());
    assert_eq!(process.output().matches("of the workers did not answer").count(), 1, "{}", process.output());
}
