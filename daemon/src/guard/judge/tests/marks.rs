//! Which marks an upstream bears, learnt from probes with and without them.

use super::*;

#[test]
fn one_that_fails_over_only_without_opt_is_asked_without() {
    // dnsmasq with strict-order, us first: with an OPT it passes our SERVFAIL on, without it asks the next server.
    let does = |_: UpstreamId, message: &[u8]| match message[11] {
        1 => Does::Loops,
        _ => Does::LoopsAndAnswers,
    };
    let world = World::new(&["10.0.0.2"], does);
    assert_eq!(world.verdicts.all(), &[]);
    assert_eq!(world.verdicts.marks(UpstreamId(0)), Marks { opt: false, tag: false, spelling: true });
}

#[test]
fn one_that_drops_tagged_queries_is_asked_without_tag() {
    let does = |_: UpstreamId, message: &[u8]| match message[11] == 1 && message.len() > 12 + 52 + 4 + 11 {
        true => Does::Silent,
        false => Does::Answers,
    };
    let world = World::new(&["10.0.0.2"], does);
    assert_eq!(world.verdicts.marks(UpstreamId(0)), Marks { opt: true, ..Marks::NONE });
    assert_eq!(world.told(Kind::Learnt(Marks { tag: false, ..Marks::ALL })), 1);
}

#[test]
fn while_marks_are_learnt_only_those_known_to_be_borne_are_sent() {
    let (mut tagged, mut dropped) = (false, 0);
    let key = Arc::new(crate::guard::key::of(1));
    let (mut judge, now) = (Judge::new(Settings::default(), key, [5; 32]), crate::clock::now());
    let mut events = vec![Event::SetChanged(set(&["10.0.0.2"]))];
    while let Some(event) = events.pop() {
        for action in judge.handle(event, now) {
            match action {
                Action::Publish(verdicts) => tagged = verdicts.marks(UpstreamId(0)).tag,
                Action::SendProbe { nonce, transport: UDP, message, .. } => {
                    let drops = message.len() > 12 + 52 + 4 + 11;
                    dropped += usize::from(drops);
                    assert!(dropped < 2 || !tagged, "the tag is off before it is tried again");
                    events.push(Event::ProbeOver {
                        nonce,
                        heard: (!drops).then_some(ProbeReply { own: true, spelling_kept: true }),
                    });
                }
                _ => (),
            }
        }
    }
    assert_eq!((dropped, tagged), (3, false));
}

#[test]
fn what_is_not_borne_is_learnt_again_daily() {
    let drops = |_: UpstreamId, message: &[u8]| match message[11] {
        1 => Does::Fails,
        _ => Does::Answers,
    };
    let mut world = World::new(&["10.0.0.2"], drops);
    assert!(!world.verdicts.marks(UpstreamId(0)).opt);
    world.run(80_000, &always(Does::Answers));
    assert!(!world.verdicts.marks(UpstreamId(0)).opt);
    world.run(7_000, &always(Does::Answers));
    assert_eq!(world.verdicts.marks(UpstreamId(0)), Marks { spelling: false, ..Marks::ALL });
}

#[test]
fn one_that_does_not_take_an_opt_any_more_is_learnt_at_once() {
    let no_opt = |_: UpstreamId, message: &[u8]| match message[11] {
        1 => Does::Fails,
        _ => Does::Answers,
    };
    let doubt = || Event::PerhapsNoEdns { upstream: UpstreamId(0) };
    let mut world = World::new(&["10.0.0.2"], always(Does::Answers));
    world.run(100, &always(Does::Answers));
    assert!(world.verdicts.marks(UpstreamId(0)).opt);
    world.sent.clear();
    world.tell(doubt(), &no_opt);
    world.run(1, &no_opt);
    assert_eq!(world.verdicts.marks(UpstreamId(0)), Marks::NONE);
    assert_eq!(world.sent.len(), 5);
    world.tell(doubt(), &no_opt);
    assert_eq!(world.sent.len(), 5, "it is known already");
}

#[test]
fn doubts_that_clients_provoke_teach_nothing_and_cost_a_few_probes_a_minute() {
    let does = always(Does::Answers);
    let mut world = World::new(&["8.8.8.8"], &does);
    world.sent.clear();
    for second in 0..600 {
        world.tell(Event::PerhapsNoEdns { upstream: UpstreamId(0) }, &does);
        world.run(1, &does);
        assert!(world.verdicts.marks(UpstreamId(0)).opt, "after {second} s");
    }
    assert!(world.sent.len() <= 10 * 5, "{}", world.sent.len());
}
