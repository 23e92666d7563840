//! What strangers can provoke, and that it convicts nobody but their own names.

use super::*;

#[test]
fn replayed_spelling_and_tag_convict_nothing() {
    let does = always(Does::Answers);
    let mut world = World::new(&["10.0.0.2", "8.8.8.8"], &does);
    for _ in 0..3600 {
        world.witness(Witness::Tag, "www.evil.example", &does);
        world.witness(Witness::Spelling, "www.evil.example", &does);
        world.run(1, &does);
    }
    assert_eq!(world.verdicts.all(), &[]);
    assert!(world.told(Kind::Suspected) > 0 && world.told.iter().all(|report| report.kind == Kind::Suspected));
}

#[test]
fn probes_provoked_without_bound_are_limited() {
    let does = always(Does::Answers);
    let mut world = World::new(&["8.8.8.8"], &does);
    for n in 0..600_000_u32 {
        world.witness(Witness::Tag, &format!("a.z{n}.example"), &does);
        world.now += Duration::from_millis(1);
    }
    // Eighteen witnesses a minute are heard. Each causes at most a probe of the root, of the parent and of the name,
    // and six times a minute the same over TCP.
    assert!(world.sent.len() <= 10 * (18 + 6) * 3, "{}", world.sent.len());
    let mut fast = world.sent.iter().map(|sent| sent.0).collect::<Vec<_>>();
    fast.sort_unstable();
    assert!(fast.windows(OVERALL + 1).all(|more| more[OVERALL] - more[0] >= Duration::from_secs(1)));
    assert!(world.told.len() <= 60, "{}", world.told.len());
}

#[test]
fn a_guessed_nonce_convicts_nothing() {
    let does = always(Does::Silent);
    let mut world = World::new(&["10.0.0.2"], &does);
    let other = crate::guard::key::of(2);
    for n in 0..1000 {
        let nonce = Nonce::new(n, &other);
        world.tell(Event::ProbeHome { nonce, from: [10, 0, 0, 66].into(), over: UDP, onwards: 0 }, &does);
        world.tell(Event::ProbeOver { nonce, heard: None }, &does);
    }
    world.run(600, &does);
    assert_eq!(world.verdicts.all(), &[]);
}

#[test]
fn a_zone_whose_server_sends_our_probe_back_convicts_its_own_names_only() {
    let evil = wire("evil.example");
    let does = |_: UpstreamId, message: &[u8]| match name::is_within(&qname(message), &evil) {
        true => Does::Loops,
        false => Does::Answers,
    };
    let mut world = World::new(&["10.0.0.2"], does);
    world.witness(Witness::Tag, "www.evil.example", &does);
    assert_eq!(world.standing("a.evil.example"), Standing::Quarantined);
    assert_eq!(world.standing("good.example"), Standing::Free);
    assert!(world.told.iter().any(|r| r.kind == Kind::Looping && r.text().contains("names under evil.example.")));
    // It is healed as any other: by an own answer.
    world.run(1, &does);
    world.run(10, &always(Does::Answers));
    assert_eq!(world.standing("a.evil.example"), Standing::Free);
}

#[test]
fn a_client_that_provokes_formerr_has_no_mark_switched_off_and_no_upstream_moved() {
    let does = always(Does::Answers);
    let mut world = World::new(&["10.0.0.2", "8.8.8.8"], &does);
    for n in 0..300 {
        // What the engine makes of errors, whatever they are, is silence; it has no other word for the judge.
        world.witness(Witness::Silence, "broken.evil.example", &does);
        world.run(1, &does);
        assert_eq!(world.verdicts.marks(UpstreamId(0)), Marks { spelling: false, ..Marks::ALL }, "after {n} s");
        assert!(world.standing("www.corp.example") <= Standing::Suspect);
    }
}
