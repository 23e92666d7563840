//! Whatever the judge is told, in whatever order: the rules that it never breaks.

use std::collections::{HashMap, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::guard::verdict::Standing;
use crate::wire::name::wire;
use crate::wire::query::packets;

#[derive(Debug, Clone)]
enum Move {
    Witness(u16, bool, u8),
    LoopPlugin,
    ProbeReturn(u8),
    Over(u8, Option<bool>),
    Wait(u64),
    Set(bool),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0..3_u16, any::<bool>(), 0..4_u8).prop_map(|(upstream, tcp, name)| Move::Witness(upstream, tcp, name)),
        1 => Just(Move::LoopPlugin),
        6 => any::<u8>().prop_map(Move::ProbeReturn),
        8 => (any::<u8>(), prop::option::of(any::<bool>())).prop_map(|(which, own)| Move::Over(which, own)),
        4 => (0..20_000_u64).prop_map(Move::Wait),
        1 => any::<bool>().prop_map(Move::Set),
    ];
    prop::collection::vec(one, 0..300)
}

/// Watches what the judge does.
#[derive(Default)]
struct Watch {
    open: Vec<(Nonce, Whom, Vec<u8>, Instant)>,
    homes: HashMap<Nonce, ()>,
    /// How the last probes for one upstream, transport and name without its nonce went: home and no own answer.
    last: HashMap<(Whom, Vec<u8>), Vec<bool>>,
    sent: VecDeque<Instant>,
}

impl Watch {
    fn see(&mut self, actions: Vec<Action>, now: Instant) {
        for action in actions {
            match action {
                Action::SendProbe { nonce, upstream, transport, message } => {
                    let whom = (upstream.id, transport);
                    let is_open = |open: &&(Nonce, Whom, Vec<u8>, Instant)| {
                        open.1 == whom && now - open.3 < Duration::from_secs(2)
                    };
                    let open = self.open.iter().filter(is_open).count();
                    assert!(open <= 6, "one probe at a time, but for those that were given up");
                    let end = 51 + message[51..].iter().position(|byte| *byte == 0).unwrap() + 3; // with the type
                    self.open.push((nonce, whom, message[51..end].to_ascii_lowercase(), now));
                    self.sent.push_back(now);
                    while self.sent.front().is_some_and(|at| now - *at >= Duration::from_secs(1)) {
                        self.sent.pop_front();
                    }
                    assert!(self.sent.len() <= OVERALL, "so many a second in all");
                }
                Action::Tell(report) if matches!(report.kind, Kind::Looping | Kind::HalfLooping) => {
                    let whom = (report.upstream.id, report.transport);
                    let homes = |qtype: u8| {
                        let about = (whom, [&*report.suffix, &[0, qtype]].concat());
                        let ended = self.last.get(&about).map(|last| last.iter().rev().take_while(|home| **home));
                        // Those that were given up, since the upstream said nothing more when they had come home.
                        let is_home = |open: &&(Nonce, Whom, Vec<u8>, Instant)| self.homes.contains_key(&open.0);
                        let given_up = self.open.iter().filter(|open| open.1 == whom && open.2 == about.1);
                        ended.map_or(0, Iterator::count) + given_up.filter(is_home).count()
                    };
                    let (common, own) = (homes(1), homes(28));
                    // A home of the common type speaks for all types, one of another for its own and its like.
                    let enough = match report.qtype {
                        None => common >= 2 || common >= 1 && own >= 1,
                        Some(_) => own >= 2 || common >= 1 && own >= 1,
                    };
                    assert!(enough, "home twice in a row, no own answer: {common}, {own}");
                }
                Action::Tell(_) | Action::Publish(_) => (),
            }
        }
    }
}

impl Watch {
    /// The probe that is under way for longest, and when its time is over.
    fn oldest(&self) -> Option<(Nonce, Instant)> {
        let oldest = self.open.iter().min_by_key(|open| open.3)?;
        Some((oldest.0, oldest.3 + Duration::from_secs(2)))
    }

    fn over(&mut self, nonce: Nonce, own: Option<bool>) {
        let at = self.open.iter().position(|open| open.0 == nonce).unwrap();
        let (_, whom, about, _) = self.open.remove(at);
        let home = self.homes.remove(&nonce).is_some() && own != Some(true);
        // One that meets silence says nothing of those before and after it.
        if home || own == Some(true) {
            self.last.entry((whom, about)).or_default().push(home);
        }
    }
}

proptest! {
    #![proptest_config(packets::the_same_cases(256))]

    #[test]
    fn no_order_of_events_breaks_the_rules(moves in moves()) {
        let key = Arc::new(crate::guard::key::of(1));
        let mut judge = Judge::new(Settings::default(), key, [5; 32]);
        let (mut now, mut watch) = (crate::clock::now(), Watch::default());
        let sets = [set(&["10.0.0.2", "8.8.8.8", "127.0.0.53"]), set(&["10.0.0.2"])];
        watch.see(judge.handle(Event::SetChanged(Arc::clone(&sets[0])), now), now);
        for one in moves {
            let pick = |which: u8| watch.open.get(usize::from(which) % watch.open.len().max(1)).map(|open| open.0);
            let event = match one {
                Move::Witness(upstream, tcp, name) => Event::Witness {
                    upstream: UpstreamId(upstream),
                    transport: if tcp { Transport::Tcp } else { Transport::Udp },
                    witness: [Witness::Tag, Witness::Spelling, Witness::Silence, Witness::Silence][usize::from(name)],
                    name: wire(["", "a.corp.example", "b.corp.example", "x"][usize::from(name)]).into(),
                    qtype: if tcp { 28 } else { 1 },
                },
                Move::LoopPlugin => Event::LoopPlugin,
                Move::ProbeReturn(which) => {
                    let Some(nonce) = pick(which) else { continue };
                    watch.homes.insert(nonce, ());
                    Event::ProbeHome { nonce, from: [10, 0, 0, 9].into(), over: Transport::Udp, onwards: 0 }
                }
                Move::Over(which, own) => {
                    let Some(nonce) = pick(which) else { continue };
                    watch.over(nonce, own);
                    Event::ProbeOver { nonce, heard: own.map(|own| ProbeReply { own, spelling_kept: true }) }
                }
                Move::Wait(ms) => {
                    let end = now + Duration::from_millis(ms);
                    // Nobody waits longer than two seconds for a probe.
                    while let Some((over, at)) = watch.oldest().filter(|(_, at)| *at <= end) {
                        now = at.max(now);
                        watch.over(over, None);
                        watch.see(judge.handle(Event::ProbeOver { nonce: over, heard: None }, now), now);
                    }
                    now = end;
                    Event::Tick
                }
                Move::Set(whole) => Event::SetChanged(Arc::clone(&sets[usize::from(!whole)])),
            };
            watch.see(judge.handle(event, now), now);
            prop_assert!(judge.tracks.len() <= REMEMBERED + 6 && judge.asked.len() <= judge.tracks.len().max(6));
            let worst = judge.published.all().iter().map(|verdict| verdict.standing).max();
            prop_assert!(worst.is_none_or(|worst| worst >= Standing::LastResort));
        }
    }
}
