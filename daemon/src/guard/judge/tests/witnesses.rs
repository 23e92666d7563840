//! What witnesses cause: a conviction where there is a loop, and no more probes than the limits allow.

use super::*;

#[test]
fn a_loop_at_start_is_convicted_over_both_transports_and_told_once_each() {
    let world = World::new(&["10.0.0.2", "10.0.0.3"], |number, _| match number.0 {
        0 => Does::Loops,
        _ => Does::Answers,
    });
    for transport in [UDP, Transport::Tcp] {
        assert_eq!(world.verdicts.standing(UpstreamId(0), transport, &wire("any")), Standing::Quarantined);
        assert_eq!(world.verdicts.standing(UpstreamId(1), transport, &wire("any")), Standing::Free);
    }
    assert_eq!(world.told(Kind::Looping), 2);
    let report = world.told.iter().find(|report| report.kind == Kind::Looping).unwrap();
    assert_eq!(report.evidence.as_ref().unwrap().from.to_string(), "10.0.0.2");
}

#[test]
fn a_loop_that_forms_is_convicted_by_the_first_witness_with_two_probes() {
    for witness in [Witness::Tag, Witness::Spelling, Witness::Silence] {
        let mut world = World::new(&["10.0.0.2", "10.0.0.3"], always(Does::Answers));
        let mut first = None;
        let does = |number: UpstreamId, _: &[u8]| if number.0 == 0 { Does::Loops } else { Does::Answers };
        world.witness(witness, "www.example.com", &does);
        first.get_or_insert_with(|| world.sent.iter().filter(|sent| sent.2 == UDP).count());
        assert_eq!((world.standing("other.example"), first), (Standing::Quarantined, Some(2)), "{witness}");
        let report = world.told.iter().find(|report| report.kind == Kind::Looping).unwrap();
        assert_eq!(report.witness, Some(witness));
        // The second probe carries no marks: one with an OPT proves nothing where failover needs its absence.
        assert_eq!(world.sent[1].3[11], 0);
    }
}

/// An upstream that was slow was acquitted a moment ago; then it loops, and one question only tells of it.
#[test]
fn what_a_mark_says_is_looked_into_as_soon_as_the_limits_allow() {
    let mut world = World::new(&["10.0.0.2"], always(Does::Answers));
    world.witness(Witness::Silence, "www.example", &always(Does::Answers));
    world.run(0, &always(Does::Answers));
    let loops = always(Does::Loops);
    world.witness(Witness::Spelling, "www.example", &loops);
    assert_eq!(world.standing("any"), Standing::Free);
    world.run(1, &loops);
    assert_eq!(world.standing("any"), Standing::Quarantined);
}

/// Listeners are open a moment before the judge is told of the first upstreams.
#[test]
fn a_witness_before_the_first_upstreams_are_known_is_heard_with_them() {
    let one_zone = |_: UpstreamId, message: &[u8]| match qname(message).ends_with(&wire("loop.example")) {
        true => Does::Loops,
        false => Does::Answers,
    };
    let mut world = World::new(&[], one_zone);
    for _ in 0..20 {
        world.witness(Witness::Tag, "www.loop.example", &one_zone);
    }
    assert!(world.judge.early.len() <= EARLY);
    world.tell(Event::SetChanged(set(&["10.0.0.2"])), &one_zone);
    assert_eq!(world.standing("www.loop.example"), Standing::Quarantined);
    assert_eq!(world.standing("www.example"), Standing::Free);
}

/// Unbound resends five times when it hears SERVFAIL, and each resend is a witness.
#[test]
fn a_witness_while_the_second_probe_is_under_way_costs_no_third() {
    let mut world = World::new(&[], always(Does::Silent));
    let probe = |actions: &[Action]| {
        actions.iter().find_map(|action| match action {
            Action::SendProbe { nonce, transport: UDP, .. } => Some(*nonce),
            _ => None,
        })
    };
    let both = set(&["10.0.0.2", "10.0.0.3"]);
    let mut under_way = probe(&world.judge.handle(Event::SetChanged(both), world.now)).unwrap();
    let mut actions = Vec::new();
    for number in 0..2 {
        world.now += Duration::from_millis(50);
        let home = Event::ProbeHome { nonce: under_way, from: [10, 0, 0, 2].into(), over: UDP, onwards: 0 };
        let _ = world.judge.handle(home, world.now);
        let name = wire("www.example.com").into();
        let witness = Event::Witness { upstream: UpstreamId(0), transport: UDP, witness: Witness::Tag, name };
        assert_eq!(probe(&world.judge.handle(witness, world.now)), None);
        let heard = Some(ProbeReply { own: false, spelling_kept: true });
        actions = world.judge.handle(Event::ProbeOver { nonce: under_way, heard }, world.now);
        assert_eq!(probe(&actions).is_some(), number == 0);
        under_way = probe(&actions).unwrap_or(under_way);
    }
    let told = actions.iter().find_map(|action| match action {
        Action::Tell(report) => Some((report.kind, report.witness)),
        _ => None,
    });
    assert_eq!(told, Some((Kind::Looping, Some(Witness::Tag))));
}

#[test]
fn silence_must_insist_before_one_zone_is_looked_at() {
    let zone = wire("corp.example");
    let does = |_: UpstreamId, message: &[u8]| match name::is_within(&qname(message), &zone) {
        true => Does::Loops,
        false => Does::Answers,
    };
    let mut world = World::new(&["10.0.0.2"], does);
    world.witness(Witness::Silence, "www.corp.example", &does);
    assert_eq!(world.standing("a.corp.example"), Standing::Free);
    world.run(3, &does);
    world.witness(Witness::Silence, "mail.corp.example", &does);
    assert_eq!(world.standing("a.corp.example"), Standing::Quarantined);
}

#[test]
fn corednss_probe_makes_us_look_within_limits() {
    let mut world = World::new(&["10.0.0.2", "8.8.8.8"], always(Does::Answers));
    for _ in 0..1000 {
        world.tell(Event::LoopPlugin, &always(Does::Answers));
    }
    assert_eq!(world.sent.len(), 1);
    world.run(5, &always(Does::Loops));
    world.tell(Event::LoopPlugin, &always(Does::Loops));
    assert_eq!(world.standing("any"), Standing::Quarantined);
}

#[test]
fn a_suspect_gets_the_tag_though_public() {
    let mut world = World::new(&["8.8.8.8"], always(Does::Answers));
    let event = Event::Witness {
        upstream: UpstreamId(0),
        transport: UDP,
        witness: Witness::Spelling,
        name: wire("a.b").into(),
    };
    let actions = world.judge.handle(event, world.now);
    let published = actions.iter().find_map(|action| match action {
        Action::Publish(verdicts) => Some(verdicts),
        _ => None,
    });
    assert_eq!(published.unwrap().standing(UpstreamId(0), UDP, &wire("x")), Standing::Suspect);
    assert!(published.unwrap().marks(UpstreamId(0)).tag);
}

#[test]
fn a_quiet_node_with_public_upstreams_sends_no_probe_after_start() {
    let does = always(Does::Answers);
    let mut world = World::new(&["8.8.8.8", "1.1.1.1"], &does);
    world.tell(Event::SetChanged(set(&["8.8.8.8", "1.1.1.1"])), &does);
    world.run(90_000, &does);
    assert_eq!(world.sent.len(), 0);
    assert!(!world.verdicts.marks(UpstreamId(0)).tag);
}

#[test]
fn near_upstreams_are_asked_each_minute() {
    let does = always(Does::Answers);
    let mut world = World::new(&["10.0.0.2"], &does);
    world.run(3600, &does);
    assert!((2 * 48..=2 * 80).contains(&world.sent.len()), "{}", world.sent.len());
    assert_eq!(world.told.len(), 0);
}
