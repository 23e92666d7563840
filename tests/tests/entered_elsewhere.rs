//! Loops that a client enters at the foreign hop, not at us: its question reaches us through the hop, over UDP or TCP,
//! and goes back to it. Hops that merge equal questions then wait for themselves: the ring that answers nobody.

use std::time::Instant;

use onward_tests::dns::{Answer, Client, rcode};
use onward_tests::hops::{self, BEYOND, GOOD, Hop, Kind, NODE};
use onward_tests::process::Process;
use onward_tests::query::{Query, types};
use onward_tests::upstream::Transport;
use onward_tests::{can_run, onward, wait};

/// Those that answer clients by themselves.
const KINDS: [Kind; 6] =
    [Kind::Dnsmasq, Kind::Unbound, Kind::Bind, Kind::KnotResolver, Kind::Resolved53, Kind::CoreDns];
/// A question that walks such a loop is answered within this time where a good server is left.
const ANSWERED: std::time::Duration = wait::millis(1_500);
/// And otherwise it ends within this: hops ask several times for one SERVFAIL.
const ENDED: std::time::Duration = wait::seconds(5);

fn convicted(onward: &Process, kind: Kind) -> bool {
    let output = onward.output();
    output.lines().any(|line| line.contains("back to us over UDP (") && line.contains(kind.address()))
}

/// Asks the hop for a name that nobody has asked for before; healthy first, then while it loops. Returns what went
/// wrong.
fn play(kind: Kind, good: bool, over: Transport) -> Vec<String> {
    let host = hops::host(&[]);
    let mut servers = vec![hops::server(&host, BEYOND, 2)];
    servers.extend(good.then(|| hops::server(&host, GOOD, 1)));
    let mut hop = Hop::start(&host, kind, BEYOND);
    let mut arguments = vec!["--listen", NODE, "--log-level", "debug", "--upstream", kind.address()];
    if good {
        arguments.extend(["--upstream", GOOD]);
    }
    let onward = onward::start(&host, NODE, &arguments);
    let ask = |address: &str, name: &str| -> Option<Answer> {
        let client = Client::new(host.net(), address.parse().unwrap());
        let query = Query::new(name, types::A);
        match over {
            Transport::Udp => client.exchange(&query.bytes(), ENDED),
            Transport::Tcp => {
                let mut stream = client.connect();
                stream.send(&query.bytes());
                stream.receive()
            }
        }
    };
    for number in 0..5 {
        let _ = ask(NODE, &format!("www-healthy{number}.shop.example")); // so that we know how fast it is
    }
    hop.turn(&host, NODE);
    let asked = Instant::now();
    let answer = ask(kind.address(), "www-entered.shop.example");
    let took = asked.elapsed();
    let code = answer.as_ref().map(Answer::rcode);
    let found = wait::until(wait::seconds(3), || convicted(&onward, kind).then_some(()));
    let shown = code.map_or("nothing".to_owned(), |code| format!("rcode {code}"));
    println!("{:12} {over:?} good {good}: {shown} after {took:?}, convicted {}", kind.label(), found.is_some());
    let mut faults = Vec::new();
    let right = match good {
        true => code == Some(rcode::NOERROR) && took < ANSWERED,
        false => code != Some(rcode::NOERROR) && took <= ENDED,
    };
    if !right {
        faults.push(format!("{kind:?} {over:?} good {good}: {shown} after {took:?}"));
    }
    if found.is_none() {
        faults.push(format!("{kind:?} {over:?} good {good}: no verdict\n{}", onward.output()));
    }
    hop.turn(&host, BEYOND);
    let name = |number: u32| format!("www-after{number}.shop.example");
    let mut next = 0;
    let back = wait::until(wait::seconds(10), || {
        next += 1;
        let answer = ask(kind.address(), &name(next))?;
        (answer.rcode() == rcode::NOERROR).then_some(())
    });
    if back.is_none() {
        faults.push(format!("{kind:?} {over:?} good {good}: not in use 10 s after the loop's end"));
    }
    faults
}

fn play_all(over: Transport) {
    if !can_run() {
        return;
    }
    let faults: Vec<String> =
        KINDS.into_iter().flat_map(|kind| [true, false].map(|good| play(kind, good, over))).flatten().collect();
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_client_that_enters_the_loop_at_the_foreign_hop_over_udp() {
    play_all(Transport::Udp);
}

#[test]
fn a_client_that_enters_the_loop_at_the_foreign_hop_over_tcp() {
    play_all(Transport::Tcp);
}
