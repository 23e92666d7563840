use super::*;
use crate::guard::name::wire;
use crate::guard::report::Report;
use crate::upstream::set::Numbers;

/// What an upstream does with a probe.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    /// Answers by itself.
    Answers,
    /// Sends it back to us and passes our SERVFAIL on.
    Loops,
    /// The same, but also asks another server.
    LoopsAndAnswers,
    /// Nothing.
    Silent,
    /// Fails by itself.
    Fails,
}

struct World {
    judge: Judge,
    now: Instant,
    sent: Vec<(Instant, Number, Transport, Vec<u8>)>,
    told: Vec<Report>,
    verdicts: Arc<Verdicts>,
}

const UDP: Transport = Transport::Udp;

pub(super) fn set(servers: &[&str]) -> Arc<Set> {
    let servers = servers.iter().map(|server| (server.parse().unwrap(), "/etc/resolv.conf".into())).collect();
    Arc::new(Set::new(servers, None, &mut Numbers::default()))
}

fn qname(message: &[u8]) -> Vec<u8> {
    let end = 12 + message[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    message[12..end].to_ascii_lowercase()
}

impl World {
    /// A judge that has looked at `servers` once, each doing as `does` says.
    fn new(servers: &[&str], does: impl Fn(Number, &[u8]) -> Does) -> Self {
        let key = Arc::new(crate::guard::key::of(1));
        let judge = Judge::new(Settings::default(), key, [5; 32]);
        let mut world =
            Self { judge, now: crate::clock::now(), sent: Vec::new(), told: Vec::new(), verdicts: Arc::default() };
        world.tell(Event::SetChanged(set(servers)), &does);
        world.run(2, &does);
        world.sent.clear();
        world
    }

    /// Takes an event, and plays out what it causes at once.
    fn tell(&mut self, event: Event, does: &impl Fn(Number, &[u8]) -> Does) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.judge.handle(event, self.now) {
                match action {
                    Action::Publish(verdicts) => self.verdicts = verdicts,
                    Action::Tell(report) => self.told.push(*report),
                    Action::SendProbe { nonce, upstream, transport, message } => {
                        let does = does(upstream.number, &message);
                        if matches!(does, Does::Loops | Does::LoopsAndAnswers) {
                            let from = upstream.server.ip();
                            let home = Event::ProbeHome { nonce, from, over: transport, onwards: 0 };
                            assert!(self.judge.handle(home, self.now).is_empty());
                        }
                        let own = matches!(does, Does::Answers | Does::LoopsAndAnswers);
                        let heard = (does != Does::Silent).then_some(Heard { own, spelling_kept: true });
                        self.sent.push((self.now, upstream.number, transport, message));
                        events.push(Event::ProbeOver { nonce, heard });
                    }
                }
            }
        }
    }

    /// Lets `seconds` go by.
    fn run(&mut self, seconds: u64, does: &impl Fn(Number, &[u8]) -> Does) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(due) = self.judge.due(self.now).filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.tell(Event::Tick, does);
        }
        self.now = end;
    }

    fn witness(&mut self, witness: Witness, name: &str, does: &impl Fn(Number, &[u8]) -> Does) {
        let event = Event::Witness { upstream: Number(0), transport: UDP, witness, name: wire(name).into() };
        self.tell(event, does);
    }

    fn standing(&self, name: &str) -> Standing {
        self.verdicts.standing(Number(0), UDP, &wire(name))
    }

    fn told(&self, kind: Kind) -> usize {
        self.told.iter().filter(|report| report.kind == kind).count()
    }
}

fn always(does: Does) -> impl Fn(Number, &[u8]) -> Does {
    move |_, _| does
}

#[test]
fn a_loop_at_start_is_convicted_over_both_transports_and_told_once_each() {
    let world = World::new(&["10.0.0.2", "10.0.0.3"], |number, _| match number.0 {
        0 => Does::Loops,
        _ => Does::Answers,
    });
    for transport in [UDP, Transport::Tcp] {
        assert_eq!(world.verdicts.standing(Number(0), transport, &wire("any")), Standing::Quarantined);
        assert_eq!(world.verdicts.standing(Number(1), transport, &wire("any")), Standing::Free);
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
        let does = |number: Number, _: &[u8]| if number.0 == 0 { Does::Loops } else { Does::Answers };
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
    let one_zone = |_: Number, message: &[u8]| match qname(message).ends_with(&wire("loop.example")) {
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
        let witness = Event::Witness { upstream: Number(0), transport: UDP, witness: Witness::Tag, name };
        assert_eq!(probe(&world.judge.handle(witness, world.now)), None);
        let heard = Some(Heard { own: false, spelling_kept: true });
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
    // Each witness that is heard causes at most one probe of the root and one under the name's parent.
    assert!(world.sent.len() <= 2 * 25, "{}", world.sent.len());
    let mut fast = world.sent.iter().map(|sent| sent.0).collect::<Vec<_>>();
    fast.sort_unstable();
    assert!(fast.windows(11).all(|eleven| eleven[10] - eleven[0] >= Duration::from_secs(1)));
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
    let does = |_: Number, message: &[u8]| match name::is_within(&qname(message), &evil) {
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
fn silence_must_insist_before_one_zone_is_looked_at() {
    let zone = wire("corp.example");
    let does = |_: Number, message: &[u8]| match name::is_within(&qname(message), &zone) {
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
fn a_quarantine_ends_by_an_own_answer_within_ten_seconds_and_not_by_silence() {
    let mut world = World::new(&["10.0.0.2"], always(Does::Loops));
    world.run(100, &always(Does::Loops));
    world.run(120, &always(Does::Silent));
    world.run(120, &always(Does::Fails));
    assert_eq!(world.standing("any"), Standing::Quarantined);
    world.run(10, &always(Does::Answers));
    assert_eq!(world.standing("any"), Standing::Free);
    assert_eq!(world.told(Kind::Released), 2);
    assert_eq!(world.told(Kind::Looping), 2);
}

#[test]
fn an_upstream_that_fails_every_probe_by_itself_is_not_quarantined_for_ever() {
    let mut world = World::new(&["10.0.0.2"], always(Does::Loops));
    world.run(290, &always(Does::Fails));
    assert_eq!(world.standing("any"), Standing::Quarantined);
    world.run(30, &always(Does::Fails));
    assert_eq!(world.standing("any"), Standing::Free);
}

#[test]
fn convicted_again_it_is_half_a_loop_until_no_probe_comes_home() {
    let mut world = World::new(&["10.0.0.2"], always(Does::Loops));
    world.run(10, &always(Does::Answers));
    world.witness(Witness::Tag, "www.example.com", &always(Does::Loops));
    assert_eq!(world.standing("any"), Standing::AskedLast);
    assert_eq!(world.told(Kind::HalfLooping), 2);
    world.run(300, &always(Does::LoopsAndAnswers));
    assert_eq!(world.standing("any"), Standing::AskedLast);
    world.run(70, &always(Does::Answers));
    assert_eq!(world.standing("any"), Standing::Free);
}

/// CoreDNS with `policy random`, us and a good server: each probe is a toss.
#[test]
fn half_a_loop_that_is_the_only_upstream_is_found_to_be_half_at_once() {
    let tosses = std::cell::Cell::new(0);
    let does = |_: Number, _: &[u8]| {
        tosses.set(tosses.get() + 1);
        if tosses.get() < 7 { Does::Loops } else { Does::Answers }
    };
    let world = World::new(&["10.0.0.2"], does);
    assert_eq!((world.standing("any"), world.told(Kind::Looping)), (Standing::AskedLast, 2));
    assert_eq!((world.told(Kind::Halved), world.told(Kind::Released)), (1, 1), "the other, over TCP, has ended");
    // A full loop is not: it costs four probes more, and its next is due a second later.
    let mut world = World::new(&[], always(Does::Loops));
    world.tell(Event::SetChanged(set(&["10.0.0.2"])), &always(Does::Loops));
    world.run(1, &always(Does::Loops));
    let over_udp = world.sent.iter().filter(|sent| sent.2 == UDP).count();
    assert_eq!((over_udp, world.standing("any")), (2 + 4, Standing::Quarantined));
    // Nor where somebody else is left.
    let first_loops = |number: Number, _: &[u8]| if number.0 == 0 { Does::Loops } else { Does::Answers };
    let mut world = World::new(&[], first_loops);
    world.tell(Event::SetChanged(set(&["10.0.0.2", "10.0.0.3"])), &first_loops);
    world.now += Duration::from_millis(500);
    world.tell(Event::Tick, &first_loops);
    assert_eq!(world.sent.iter().filter(|sent| (sent.1.0, sent.2) == (0, UDP)).count(), 2);
}

#[test]
fn one_that_was_seen_to_loop_and_yet_answers_wavers_for_a_minute() {
    let mut world = World::new(&["10.0.0.2"], always(Does::Answers));
    world.witness(Witness::Silence, "www.example", &always(Does::Answers));
    assert_eq!(world.standing("any"), Standing::Free);
    world.run(5, &always(Does::Answers));
    world.witness(Witness::Tag, "www.example", &always(Does::Answers));
    assert_eq!(world.standing("any"), Standing::Wavers);
    world.run(61, &always(Does::Answers));
    assert_eq!(world.standing("any"), Standing::Free);
    world.witness(Witness::Tag, "www.example", &always(Does::Loops));
    assert_eq!(world.standing("any"), Standing::Quarantined);
    assert_eq!(world.told(Kind::Halved), 0);
}

#[test]
fn a_forwarder_that_answers_after_all_is_never_convicted() {
    let does = always(Does::LoopsAndAnswers);
    let mut world = World::new(&["10.0.0.2"], &does);
    for n in 0..100 {
        world.witness(Witness::Tag, &format!("n{n}.example.com"), &does);
        world.run(5, &does);
    }
    assert_eq!(world.verdicts.all(), &[]);
}

#[test]
fn one_that_fails_over_only_without_opt_is_asked_without() {
    // dnsmasq with strict-order, us first: with an OPT it passes our SERVFAIL on, without it asks the next server.
    let does = |_: Number, message: &[u8]| match message[11] {
        1 => Does::Loops,
        _ => Does::LoopsAndAnswers,
    };
    let world = World::new(&["10.0.0.2"], does);
    assert_eq!(world.verdicts.all(), &[]);
    assert_eq!(world.verdicts.marks(Number(0)), Bears { opt: false, tag: false, spelling: true });
}

#[test]
fn one_that_drops_tagged_queries_is_asked_without_tag() {
    let does = |_: Number, message: &[u8]| match message[11] == 1 && message.len() > 12 + 52 + 4 + 11 {
        true => Does::Silent,
        false => Does::Answers,
    };
    let world = World::new(&["10.0.0.2"], does);
    assert_eq!(world.verdicts.marks(Number(0)), Bears { tag: false, ..Bears::ALL });
    assert_eq!(world.told(Kind::Learnt(Bears { tag: false, ..Bears::ALL })), 1);
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
                Action::Publish(verdicts) => tagged = verdicts.marks(Number(0)).tag,
                Action::SendProbe { nonce, transport: UDP, message, .. } => {
                    let drops = message.len() > 12 + 52 + 4 + 11;
                    dropped += usize::from(drops);
                    assert!(dropped < 2 || !tagged, "the tag is off before it is tried again");
                    events.push(Event::ProbeOver {
                        nonce,
                        heard: (!drops).then_some(Heard { own: true, spelling_kept: true }),
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
    let drops = |_: Number, message: &[u8]| match message[11] {
        1 => Does::Fails,
        _ => Does::Answers,
    };
    let mut world = World::new(&["10.0.0.2"], drops);
    assert!(!world.verdicts.marks(Number(0)).opt);
    world.run(80_000, &always(Does::Answers));
    assert!(!world.verdicts.marks(Number(0)).opt);
    world.run(7_000, &always(Does::Answers));
    assert_eq!(world.verdicts.marks(Number(0)), Bears::ALL);
}

#[test]
fn a_quiet_node_with_public_upstreams_sends_no_probe_after_start() {
    let does = always(Does::Answers);
    let mut world = World::new(&["8.8.8.8", "1.1.1.1"], &does);
    world.tell(Event::SetChanged(set(&["8.8.8.8", "1.1.1.1"])), &does);
    world.run(90_000, &does);
    assert_eq!(world.sent.len(), 0);
    assert!(!world.verdicts.marks(Number(0)).tag);
}

#[test]
fn near_upstreams_are_asked_each_minute() {
    let does = always(Does::Answers);
    let mut world = World::new(&["10.0.0.2"], &does);
    world.run(3600, &does);
    assert!((2 * 48..=2 * 80).contains(&world.sent.len()), "{}", world.sent.len());
    assert_eq!(world.told.len(), 0);
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
fn verdicts_survive_a_reload() {
    let mut numbers = Numbers::default();
    let mut make = |servers: &[&str]| {
        let servers = servers.iter().map(|server| (server.parse().unwrap(), "a".into())).collect();
        Arc::new(Set::new(servers, None, &mut numbers))
    };
    let (both, one) = (make(&["10.0.0.2", "10.0.0.3"]), make(&["10.0.0.3"]));
    let mut world = World::new(&["10.0.0.2", "10.0.0.3"], always(Does::Loops));
    world.tell(Event::SetChanged(one), &always(Does::Silent));
    world.tell(Event::SetChanged(both), &always(Does::Silent));
    assert_eq!(world.standing("any"), Standing::Quarantined);
    assert_eq!(world.told(Kind::Looping), 4);
}

#[test]
fn a_suspect_gets_the_tag_though_public() {
    let mut world = World::new(&["8.8.8.8"], always(Does::Answers));
    let event =
        Event::Witness { upstream: Number(0), transport: UDP, witness: Witness::Spelling, name: wire("a.b").into() };
    let actions = world.judge.handle(event, world.now);
    let published = actions.iter().find_map(|action| match action {
        Action::Publish(verdicts) => Some(verdicts),
        _ => None,
    });
    assert_eq!(published.unwrap().standing(Number(0), UDP, &wire("x")), Standing::Suspect);
    assert!(published.unwrap().marks(Number(0)).tag);
}

#[test]
fn a_client_that_provokes_formerr_has_no_mark_switched_off_and_no_upstream_moved() {
    let does = always(Does::Answers);
    let mut world = World::new(&["10.0.0.2", "8.8.8.8"], &does);
    for n in 0..300 {
        // What the engine makes of errors, whatever they are, is silence; it has no other word for the judge.
        world.witness(Witness::Silence, "broken.evil.example", &does);
        world.run(1, &does);
        assert_eq!(world.verdicts.marks(Number(0)), Bears::ALL, "after {n} s");
        assert!(world.standing("www.corp.example") <= Standing::Suspect);
    }
}
