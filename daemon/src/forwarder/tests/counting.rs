//! Each event that a person may ask for is counted once.

use super::*;
use crate::exchange::Failure;
use crate::upstream::Transport;

#[test]
fn queries_are_counted_by_what_became_of_them() {
    let mut w = world(&["10.0.0.2"]);
    let counters = |w: &World| w.forwarder.counters().clone();
    w.ask("www.example");
    w.answer(address(1, 60));
    w.ask("www.example");
    w.take(&query("www.example", 1), Ingress::Stream(ClientId(1)));
    let counted = counters(&w);
    assert_eq!([counted.misses.total(), counted.hits.total(), counted.answered], [1, 2, 1]);
    assert_eq!([Transport::Udp, Transport::Tcp].map(|over| counted.hits.of(over, QueryKind::A)), [1, 1]);
    w.take(b"short", LISTENER);
    let mut odd = query("www.example", 1);
    odd[2] |= flag::TC;
    w.take(&odd, LISTENER);
    let mut without_recursion = query("new.example", 1);
    without_recursion[2] = 0;
    w.take(&without_recursion, LISTENER);
    let mut unknown_kind = query("new.example", 1);
    unknown_kind[2] |= 2 << 3;
    w.take(&unknown_kind, LISTENER);
    let counted = counters(&w);
    assert_eq!([counted.dropped, counted.hits.total(), counted.misses.total()], [1, 3, 1]);
    assert_eq!([Local::NoRecursion, Local::NotServed, Local::Full].map(|why| counted.local(why)), [1, 1, 0]);
}

#[test]
fn failures_and_stale_answers_are_counted_by_client() {
    let mut w = world(&["10.0.0.2"]);
    w.ask("www.example");
    w.ask("www.example");
    w.refuse();
    assert_eq!(w.forwarder.counters().failures(Failure::NoAnswer), 2);
    w.ask("stale.example");
    w.answer(address(1, 20));
    w.until(30_000);
    w.ask("stale.example");
    w.answer(failure);
    w.ask("stale.example");
    w.until(33_500);
    w.ask("stale.example");
    let counted = w.forwarder.counters();
    assert_eq!([counted.waited_stale, counted.stale.total(), counted.refreshes], [1, 2, 1]);
}

#[test]
fn what_an_upstream_does_is_counted() {
    let mut w = world(&["10.0.0.2"]);
    w.ask("www.example");
    w.until(5);
    w.answer(address(1, 60));
    w.ask("dead.example");
    w.until(7_000);
    let report = w.forwarder.report(w.now);
    let counters = &report.upstreams[0].counters;
    assert_eq!(*counters, report.upstreams[0].of_late);
    assert_eq!([counters.answered, counters.timed_out], [1, counters.asked - 1]);
    assert_eq!(counters.latency.buckets().iter().position(|count| *count == 1), Some(5), "from 4 to 8 ms");
}

#[test]
fn what_came_back_is_counted() {
    let mut w = world(&["10.0.0.2", "10.0.0.3"]);
    w.ask("www.example");
    let returned = w.sent[0].message.clone();
    w.take(&returned, LISTENER);
    w.until(50);
    let probe = w.probes.pop().unwrap();
    w.take(&probe, LISTENER);
    let counted = w.forwarder.counters();
    assert_eq!([Local::Returned, Local::OwnProbe].map(|why| counted.local(why)), [1, 1]);
}
