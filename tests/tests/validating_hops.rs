//! Loops through hops that validate, as Debian ships them: they answer our probe NXDOMAIN from cached NSEC records,
//! which proves nothing. The promise is that of every loop: an answer within 100 ms, one verdict, and use soon after
//! its end (issue 11, I, 33 and 34).

use std::time::{Duration, Instant};

use onward_tests::dns::rcode;
use onward_tests::hops::{self, BEYOND, GOOD, HOPS, NODE};
use onward_tests::host::Host;
use onward_tests::node::{self, Node, address};
use onward_tests::process::Process;
use onward_tests::upstream::Scripted;
use onward_tests::validating::{DOMAINS, Kind, Validating, signed_root};
use onward_tests::wait;

const KINDS: [Kind; 2] = [Kind::Unbound, Kind::Bind];
/// The first question that walks the loop is answered within this, though nothing but silence speaks. 100 ms on a
/// machine that does nothing else.
const FIRST_ANSWER: Duration = wait::millis(150);
/// A looped question that no verdict is about waits at most as long as for an upstream that is late, and for the next
/// one.
const UNCONVICTED: Duration = wait::millis(450);
/// And one after the verdict.
const LATER_ANSWER: Duration = wait::millis(50);

/// What Onward asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// A good server is second.
    Good,
    /// Nobody.
    None,
}

/// A host with the hop, which asks the signed root, and the good server.
struct Stage {
    hop: Validating,
    _servers: (Process, Scripted),
}

impl Stage {
    fn new(host: &Host, kind: Kind) -> Self {
        let servers = (signed_root(host, BEYOND), hops::server(host, GOOD, 1));
        Self { hop: Validating::start(host, kind, HOPS[0], BEYOND), _servers: servers }
    }
}

fn upstreams(left: Left) -> &'static [&'static str] {
    match left {
        Left::Good => &[HOPS[0], GOOD],
        Left::None => &[HOPS[0]],
    }
}

/// What a client should be told of a question that walks the loop; what it was told instead.
fn fault(node: &Node<'_>, left: Left, name: &str, limit: Duration) -> Option<String> {
    let (answer, took) = node.ask(name);
    let right = match left {
        Left::Good => answer.addresses() == [address(1)],
        Left::None => answer.rcode() == rcode::SERVFAIL && answer.extended_errors() == [23],
    };
    let told = format!("{name}: rcode {} {:?} after {took:?}", answer.rcode(), answer.extended_errors());
    (!right || took >= limit).then_some(told)
}

/// Plays it with each hop, and with a good server left and none, on hosts of their own; each twice if it fails.
fn everywhere(play: impl Fn(Kind, Left) -> Result<(), String> + Sync) {
    std::thread::scope(|scope| {
        for kind in KINDS {
            let play = &play;
            scope.spawn(move || {
                for left in [Left::Good, Left::None] {
                    wait::better_of_two(|| {
                        play(kind, left).map_err(|fault| format!("{kind:?}, left {left:?}: {fault}"))
                    });
                }
            });
        }
    });
}

fn result(faults: &[String], node: &Node<'_>) -> Result<(), String> {
    match faults {
        [] => Ok(()),
        faults => Err(format!("{}\n{}", faults.join("\n"), node.onward.output())),
    }
}

#[test]
fn a_loop_that_forms_through_a_validating_hop_is_convicted_and_costs_nothing() {
    everywhere(|kind, left| {
        let Some(host) = node::host() else { return Ok(()) };
        let stage = Stage::new(&host, kind);
        let mut node = Node::start(&host, upstreams(left), "");
        for number in 0..5 {
            assert_eq!(node.ask(&format!("www{number}.shop.example")).0.addresses(), [address(2)]);
        }
        stage.hop.turn(&host, NODE);
        let mut faults: Vec<String> = fault(&node, left, "first.some.example", FIRST_ANSWER).into_iter().collect();
        node.onward.wait_for_line("back to us over UDP (", wait::seconds(3));
        // Unrelated parents: it is the root that loops, not each of them.
        let (begun, mut number) = (Instant::now(), 0);
        while begun.elapsed() < wait::seconds(8) {
            number += 1;
            let domain = DOMAINS[number % DOMAINS.len()];
            faults.extend(fault(&node, left, &format!("www.some{number}.{domain}"), LATER_ANSWER));
            std::thread::sleep(wait::millis(100));
        }
        let verdicts: Vec<String> = node.verdicts().into_iter().filter(|line| line.contains("over UDP (")).collect();
        println!(
            "{kind:?}, left {left:?}: {} of {number} later ones late or wrong, {} verdicts",
            faults.len(),
            verdicts.len()
        );
        // A few zones are told of before it is seen that they have nothing in common, each at the price of a first
        // answer.
        if verdicts.len() > 4 || faults.len() > 5 {
            faults.extend(verdicts);
            return result(&faults, &node);
        }
        stage.hop.turn(&host, BEYOND);
        let back = node.wait_for_address(|number| format!("back{number}.shop.example"), 2, wait::seconds(10));
        if back.is_some() {
            Ok(())
        } else {
            Err(format!("not in use 10 s after the loop's end\n{}", node.onward.output()))
        }
    });
}

#[test]
fn a_loop_through_a_validating_hop_that_is_there_at_the_start_is_convicted() {
    everywhere(|kind, left| {
        let Some(host) = node::host() else { return Ok(()) };
        let stage = Stage::new(&host, kind);
        stage.hop.turn(&host, NODE);
        let mut node = Node::start(&host, upstreams(left), "");
        let mut faults: Vec<String> = fault(&node, left, "first.some.example", FIRST_ANSWER).into_iter().collect();
        node.onward.wait_for_line("back to us over UDP (", wait::seconds(3));
        let later = (0..20).filter_map(|number| fault(&node, left, &format!("www.then{number}.example"), LATER_ANSWER));
        let later: Vec<String> = later.collect();
        faults.extend(if later.len() > 2 { later } else { Vec::new() });
        result(&faults, &node)
    });
}

/// Healthy, such a hop denies our probes from its cache all day: that is no loop, and it is not asked less for it.
#[test]
fn a_validating_hop_that_is_in_order_stays_in_use() {
    everywhere(|kind, left| {
        let Some(host) = node::host() else { return Ok(()) };
        let _stage = Stage::new(&host, kind);
        let node = Node::start(&host, upstreams(left), "");
        let ask = |number: usize| {
            std::thread::sleep(wait::millis(20));
            let name = format!("www.fine{number}.{}", DOMAINS[number % DOMAINS.len()]);
            let (answer, took) = node.ask(&name);
            assert_eq!(answer.addresses().len(), 1, "{name} after {took:?}\n{}", node.onward.output());
            answer.addresses() == [address(2)]
        };
        let by_it = (0..60).filter(|number| ask(*number)).count();
        // Where it is late, the good server may have answered first.
        assert!(by_it >= 50, "{by_it} of 60 by it\n{}", node.onward.output());
        assert_eq!(node.verdicts(), [""; 0]);
        Ok(())
    });
}

/// Each of these names loops, and no parent of it, so that no probe shows it: what the good server answers says nothing
/// of how fast the one is that loops.
#[test]
fn looped_questions_that_are_not_convicted_do_not_get_slower() {
    wait::better_of_two(|| {
        const NAMES: usize = 40;
        let Some(host) = node::host() else { return Ok(()) };
        let _servers = [hops::server(&host, BEYOND, 2), hops::server(&host, GOOD, 1)];
        // No mark is left by this one, so only silence tells.
        let zone = |name: &str, server: &str| format!("forward-zone:\n    name: {name}\n    forward-addr: {server}\n");
        let looping: String = (0..NAMES).map(|number| zone(&format!("www.shop{number}.example"), NODE)).collect();
        let lines = format!("    use-caps-for-id: yes\n{}{looping}", zone(".", BEYOND));
        let _unbound = hops::unbound_with(&host, HOPS[0], &lines);
        let node = Node::start(&host, &[HOPS[0], GOOD], "");
        for number in 0..10 {
            assert_eq!(node.ask(&format!("www{number}.warm.example")).0.addresses(), [address(2)]);
        }
        let ask = |number: usize| {
            let (answer, took) = node.ask(&format!("www.shop{number}.example"));
            assert_eq!(answer.addresses(), [address(1)], "{number}, after {took:?}:\n{}", node.onward.output());
            took
        };
        let took: Vec<Duration> = (0..NAMES).map(ask).collect();
        let late = took.iter().filter(|took| **took >= UNCONVICTED).count();
        println!("{late} of {NAMES} late: {took:?}");
        if late <= 3 { Ok(()) } else { Err(format!("{late} of {NAMES} looped questions late: {took:?}")) }
    });
}
