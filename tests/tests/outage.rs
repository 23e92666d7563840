//! An outage leaves a trace: a line when an upstream stops answering, one when the last one does, and one when each is
//! back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use onward_tests::lab::{Lab, UPSTREAMS};
use onward_tests::query::{Query, types};
use onward_tests::upstream::{Reply, Scripted};
use onward_tests::{onward, wait};

/// An upstream that can be switched off.
fn upstream(lab: &Lab, number: usize) -> (Scripted, Arc<AtomicBool>) {
    let dead = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&dead);
    let script = move |seen: &onward_tests::upstream::Seen| {
        if switch.load(Ordering::Relaxed) { Reply::silence() } else { Reply::now(seen.address([192, 0, 2, 1], 0)) }
    };
    (Scripted::start(lab.upstream.net(), Lab::upstream_address(number), script), dead)
}

#[test]
fn an_outage_of_each_upstream_and_of_all_is_told_and_so_is_its_end() {
    let Some(lab) = Lab::new() else { return };
    let (_first, first_dead) = upstream(&lab, 0);
    let (_second, second_dead) = upstream(&lab, 1);
    let process = onward::with_upstreams(&lab, &[UPSTREAMS[0], UPSTREAMS[1]]);
    let said = |text: &str| process.output().matches(text).count();
    let mut asked = 0;
    // Names that were not asked before, so that each reaches the upstreams; most wait in vain.
    let mut until_said = |text: &str, times: usize| {
        let found = wait::until(wait::seconds(15), || {
            asked += 1;
            let query = Query::new(&format!("name-{asked}.test"), types::A).bytes();
            let _ = lab.client().exchange(&query, wait::millis(100));
            (said(text) >= times).then_some(())
        });
        assert!(found.is_some(), "\"{text}\" is not told {times} times:\n{}", process.output());
    };
    until_said("listening on", 1);
    let down = |number: usize| format!("{}:53 does not answer any more", UPSTREAMS[number]);
    let back = |number: usize| format!("{}:53 answers again", UPSTREAMS[number]);

    first_dead.store(true, Ordering::Relaxed);
    until_said(&down(0), 1);
    assert_eq!(said("no upstream answers any more"), 0, "the other one does:\n{}", process.output());
    second_dead.store(true, Ordering::Relaxed);
    until_said(&down(1), 1);
    until_said("no upstream answers any more", 1);
    first_dead.store(false, Ordering::Relaxed);
    until_said(&back(0), 1);
    second_dead.store(false, Ordering::Relaxed);
    until_said(&back(1), 1);
    for text in [down(0), down(1)] {
        assert_eq!(said(&text), 1, "one line for each outage:\n{}", process.output());
    }
    assert_eq!(said("no upstream answers any more"), 1, "{}", process.output());
}
