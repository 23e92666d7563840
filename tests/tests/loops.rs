//! The matrix of loops: present at the start, formed while Onward runs, ended again; through each kind of hop; with a
//! good second upstream and without; the client over UDP and TCP. What each cell shows is a row of the table that this
//! prints; `tests/README.md` explains the columns.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use onward_tests::dns::{Answer, Client, rcode};
use onward_tests::hops::{self, BEYOND, GOOD, Hop, Kind, NODE};
use onward_tests::host::Host;
use onward_tests::process::Process;
use onward_tests::query::{Query, types};
use onward_tests::tap::{Count, Datagram, Tap};
use onward_tests::upstream::{Scripted, Transport};
use onward_tests::{can_run, onward, wait};

/// Cells that are played at once.
const AT_ONCE: usize = 3;
/// The last byte of addresses that the good server gives.
const FROM_GOOD: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// And those from the server behind the hop.
const FROM_BEYOND: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// Datagrams for the first looped question, with the probes of the upstream that loops, without the client's own two.
const MOST: usize = 14;
/// What a hop adds that sets DO on what it sends back: a question that is new to Onward, since its name is not spelled
/// and its tag is lost. It is asked once of the hop and once of the good server.
const SECOND_QUESTION: usize = 4;
/// The first looped question is answered within this time. Without a loop it takes one or two.
const FIRST_ANSWER: Duration = wait::millis(100);
/// A verdict is given within this time.
const VERDICT: Duration = wait::seconds(3);
/// Use begins again within this time of the loop's end.
const RECOVERY: Duration = wait::seconds(10);
/// What Onward tells of an upstream whose loop has ended.
const END: &str = "by itself again";
/// What belongs to the first question has come by then, and the first probe for the end of the loop has not.
const COUNTED: Duration = wait::millis(900);

/// One combination.
#[derive(Clone, Copy, Debug)]
struct Cell {
    kind: Kind,
    good: bool,
    over: Transport,
}

/// What one combination showed at one time.
struct Row {
    cell: Cell,
    when: &'static str,
    answer: String,
    first: Duration,
    count: Count,
    checks: usize,
    later: usize,
    verdict: Option<(Duration, String)>,
    recovery: Option<Duration>,
    faults: Vec<String>,
    trace: String,
}

/// The hosts and servers of a cell.
struct Stage {
    cell: Cell,
    host: Host,
    tap: Tap,
    _servers: Vec<Scripted>,
}

#[test]
fn the_matrix() {
    if !can_run() {
        return;
    }
    let rows = play_all(&cells());
    let mut table = String::from(
        "\nhop              when    left  client  first answer             ms   datagrams  resends  checks  later  verdict ms  recovery ms  witness\n",
    );
    rows.iter().for_each(|row| table.push_str(&row.line()));
    println!("{table}");
    let faults: Vec<String> = rows.iter().flat_map(Row::faults).collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// With the mark seen, and where only silence speaks.
#[test]
fn at_most_two_further_upstreams_are_tried_for_a_looped_question() {
    if !can_run() {
        return;
    }
    for kind in [Kind::Dnsmasq, Kind::Relay] {
        let others = ["10.99.0.61", "10.99.0.62", "10.99.0.63"];
        let host = hops::host(&others);
        let _beyond = hops::server(&host, BEYOND, FROM_BEYOND.octets()[3]);
        let servers = others.map(|address| hops::server(&host, address, FROM_GOOD.octets()[3]));
        let mut hop = Hop::start(&host, kind, BEYOND);
        let upstreams = [kind.address()].into_iter().chain(others).flat_map(|address| ["--upstream", address]);
        let process = onward::start(&host, NODE, &["--listen", NODE].into_iter().chain(upstreams).collect::<Vec<_>>());
        let client = Client::new(host.net(), NODE.parse().unwrap());
        hop.turn(&host, NODE);
        for number in 0..5 {
            let name = format!("www-further{number}.loop.example");
            assert_eq!(client.addresses(&name), [FROM_GOOD], "{}", process.output());
            let tried = servers.iter().filter(|server| server.count(&name) > 0).count();
            assert!(tried <= 2, "{kind:?}: {tried} further upstreams\n{}", process.output());
        }
    }
}

/// All combinations, or those whose hop's label contains what `ONWARD_HOP` holds.
fn cells() -> Vec<Cell> {
    let wanted = std::env::var("ONWARD_HOP").unwrap_or_default();
    let kinds = Kind::ALL.into_iter().filter(|kind| kind.label().contains(&wanted));
    let each = |kind| {
        let both = [(true, Transport::Udp), (true, Transport::Tcp), (false, Transport::Udp), (false, Transport::Tcp)];
        both.map(|(good, over)| Cell { kind, good, over })
    };
    kinds.flat_map(each).collect()
}

fn play_all(cells: &[Cell]) -> Vec<Row> {
    let next = Mutex::new(cells.iter().enumerate());
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some((place, cell)) = next.lock().unwrap().next() else { return };
                    // A cell that cannot be played must not hide the others.
                    let play = || {
                        let played = catch_unwind(AssertUnwindSafe(|| play(*cell)));
                        played.unwrap_or_else(|_| vec![Row::unplayed(*cell)])
                    };
                    let mut played = play();
                    // A busy machine may be late once; on time means that it is possible.
                    if played.iter().any(|row| row.first > FIRST_ANSWER) {
                        played.iter().for_each(|row| print!("late, played again: {}", row.line()));
                        played = play();
                    }
                    rows.lock().unwrap().extend(played.into_iter().map(|row| (place, row)));
                }
            });
        }
    });
    let mut rows = rows.into_inner().unwrap();
    rows.sort_by_key(|(place, _)| *place);
    rows.into_iter().map(|(_, row)| row).collect()
}

/// A loop that is there from the start, then ends; and one that forms, then ends.
fn play(cell: Cell) -> Vec<Row> {
    let host = hops::host(&[]);
    let tap = Tap::start(host.net());
    let mut servers = vec![hops::server(&host, BEYOND, FROM_BEYOND.octets()[3])];
    servers.extend(cell.good.then(|| hops::server(&host, GOOD, FROM_GOOD.octets()[3])));
    let stage = Stage { cell, host, tap, _servers: servers };

    let mut hop = Hop::start(&stage.host, cell.kind, NODE);
    let mut process = stage.onward();
    let at_start = stage.round("start", &mut hop, &mut process);
    drop(process);

    let mut process = stage.onward();
    // So that Onward knows how fast the hop is. On a busy machine the good server may be quicker now and then.
    let ask = |_: &i32| {
        sleep(wait::millis(50));
        stage.ask().1.addresses() == [FROM_BEYOND]
    };
    let healthy = (0..8).filter(ask).count();
    assert!(healthy >= 3, "{cell:?}: without a loop: {healthy} of 8 through the hop\n{}", process.output());
    hop.turn(&stage.host, NODE);
    let formed = stage.round("formed", &mut hop, &mut process);
    vec![at_start, formed]
}

impl Stage {
    fn onward(&self) -> Process {
        let mut arguments = vec!["--listen", NODE, "--log-level", "debug"];
        arguments.extend(["--upstream", self.cell.kind.address()]);
        if self.cell.good {
            arguments.extend(["--upstream", GOOD]);
        }
        onward::start(&self.host, NODE, &arguments)
    }

    /// Asks for a name that nobody has asked for before.
    fn ask(&self) -> (String, Answer) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("www-shop{}.loop.example", NEXT.fetch_add(1, Ordering::Relaxed));
        let query = Query::new(&name, types::A).edns(1232);
        let client = Client::new(self.host.net(), NODE.parse().unwrap());
        let answer = match self.cell.over {
            Transport::Udp => client.udp(&query),
            Transport::Tcp => client.tcp(&query),
        };
        (name, answer)
    }

    /// The hop loops: one question walks the loop; then the loop ends.
    fn round(&self, when: &'static str, hop: &mut Hop, process: &mut Process) -> Row {
        let mut row = Row::new(self.cell, when);
        let asked = Instant::now();
        let (name, answer) = self.ask();
        row.first = asked.elapsed();
        row.answered(&answer);
        let verdict =
            wait::until(VERDICT, || process.output().lines().find(|line| is_verdict(line)).map(str::to_owned));
        row.verdict = verdict.map(|line| (asked.elapsed(), line));
        sleep(COUNTED.saturating_sub(asked.elapsed()));
        let verdict = row.verdict.as_ref().map_or(COUNTED, |(time, _)| *time);
        row.count = self.count(&name, asked, verdict);
        let all = self.count(&name, asked, COUNTED);
        row.checks = all.checks + all.datagrams.saturating_sub(row.count.datagrams);
        row.trace = self.trace(asked - wait::millis(300));

        let asked = Instant::now();
        let (name, answer) = self.ask();
        row.answered(&answer);
        sleep(wait::millis(100));
        row.later = self.tap.since(asked).iter().filter(|datagram| datagram.name == name).count();

        hop.turn(&self.host, BEYOND);
        let ended = Instant::now();
        let back = wait::until(RECOVERY, || (self.ask().1.addresses() == [FROM_BEYOND]).then_some(()));
        row.recovery = back.map(|()| ended.elapsed());
        let is_told = || process.output().contains(END).then_some(());
        let _ = wait::until(wait::seconds(1), is_told); // lines are written a moment later, by a thread of their own
        row.judge(&process.output());
        row
    }

    /// All that passed since a moment, for people.
    fn trace(&self, begun: Instant) -> String {
        let line = |one: &Datagram| {
            let what = if one.answer { format!("answer {}", one.code) } else { "question".to_owned() };
            format!(
                "{:>7.1} ms {} > {} {what} {} {}\n",
                (one.at - begun).as_secs_f64() * 1e3,
                one.from,
                one.to,
                one.name,
                one.id
            )
        };
        self.tap.since(begun).iter().map(line).collect()
    }

    /// What a question cost in the time after it was asked, without the client's own two datagrams.
    fn count(&self, name: &str, asked: Instant, span: Duration) -> Count {
        let datagrams: Vec<_> = self.tap.since(asked).into_iter().filter(|one| one.at - asked < span).collect();
        let over_udp = self.cell.over == Transport::Udp;
        let mut count = Count::of(&datagrams, name, (NODE, &[self.cell.kind.address(), GOOD]), over_udp);
        count.datagrams -= if over_udp { 2 } else { 0 };
        count
    }
}

/// Whether Onward tells there that an upstream loops.
fn is_verdict(line: &str) -> bool {
    line.contains("back to us over UDP") && (line.contains("not asking it") || line.contains("asking it last"))
}

impl Row {
    fn new(cell: Cell, when: &'static str) -> Self {
        let (answer, first, count) = (String::new(), Duration::ZERO, Count::default());
        Self {
            cell,
            when,
            answer,
            first,
            count,
            checks: 0,
            later: 0,
            verdict: None,
            recovery: None,
            faults: Vec::new(),
            trace: String::new(),
        }
    }

    fn unplayed(cell: Cell) -> Self {
        Self { faults: vec!["could not be played".to_owned()], ..Self::new(cell, "") }
    }

    /// Takes an answer that a looped question got.
    fn answered(&mut self, answer: &Answer) {
        let text = match answer.rcode() {
            rcode::NOERROR => format!("{:?}", answer.addresses()),
            code => format!("rcode {code} EDE {:?}", answer.extended_errors()),
        };
        let named = || answer.extended_texts().iter().any(|text| text.contains(self.cell.kind.address()));
        let right = match self.cell.good {
            true => answer.addresses() == [FROM_GOOD],
            false => answer.rcode() == rcode::SERVFAIL && answer.extended_errors() == [23] && named(),
        };
        if !right {
            self.faults.push(format!("answer {text} {:?}", answer.extended_texts()));
        }
        if self.answer.is_empty() {
            self.answer = text;
        }
    }

    /// The bounds of the issue.
    fn judge(&mut self, log: &str) {
        let most = self.most();
        let mut fault = |text: String| self.faults.push(text);
        if self.first > FIRST_ANSWER {
            fault(format!("first answer after {:?}", self.first));
        }
        if self.count.datagrams > most {
            fault(format!("{} datagrams", self.count.datagrams));
        }
        if self.later > 4 {
            fault(format!("{} datagrams for a question after the verdict", self.later));
        }
        match &self.verdict {
            None => fault("no verdict".to_owned()),
            Some((_, line)) if self.cell.kind == Kind::OneZone && !line.contains("names under") => {
                fault(format!("the verdict is about more than the zone: {line}"));
            }
            Some((_, line)) if !line.contains(self.cell.kind.address()) => fault(format!("the wrong verdict: {line}")),
            Some(_) => {}
        }
        if self.recovery.is_none() {
            fault(format!("not in use {RECOVERY:?} after the loop's end"));
        } else if !log.contains(END) && self.verdict.is_some() {
            fault("nothing told of the end".to_owned());
        }
        if !self.faults.is_empty() {
            println!("--- {:?} {}:\n{log}{}---", self.cell, self.when, self.trace);
        }
    }

    /// How many datagrams there may be: two laps of probes, the question's lap, two for the good server. A lap through
    /// two hops is six; a hop that sets DO on what it sends back makes a second question of it; where only a zone loops
    /// the root is asked first, which is one lap of probes more, and at start a second time, where the probe of the
    /// start was under way when the question was asked.
    fn most(&self) -> usize {
        match self.cell.kind {
            Kind::TwoInARow => 3 * 6 + 2 + SECOND_QUESTION,
            Kind::Unbound | Kind::Bind => MOST + SECOND_QUESTION,
            Kind::OneZone => MOST + if self.when == "start" { 4 + 4 } else { 4 },
            _ => MOST,
        }
    }

    fn line(&self) -> String {
        let mut line = String::new();
        let left = if self.cell.good { "good" } else { "none" };
        let millis = |time: Option<Duration>| time.map_or("-".to_owned(), |time| time.as_millis().to_string());
        let verdict = self.verdict.as_ref().map(|(time, _)| *time);
        let witness = self.verdict.as_ref().and_then(|(_, line)| line.split("witness ").nth(1)).unwrap_or("-");
        let witness = witness.split([',', ')', ' ']).next().unwrap_or_default();
        let _ = write!(
            line,
            "{:16} {:7} {left:5} {:7} ",
            self.cell.kind.label(),
            self.when,
            format!("{:?}", self.cell.over)
        );
        let _ = write!(line, "{:22} {:>4}   {:>9}  ", self.answer, self.first.as_millis(), self.count.datagrams);
        let _ =
            write!(line, "{:>7}  {:>6}  {:>5}  {:>10}  ", self.count.resends, self.checks, self.later, millis(verdict));
        let _ = writeln!(line, "{:>11}  {witness}", millis(self.recovery));
        line
    }

    fn faults(&self) -> Vec<String> {
        self.faults.iter().map(|fault| format!("{:?} {}: {fault}", self.cell, self.when)).collect()
    }
}
