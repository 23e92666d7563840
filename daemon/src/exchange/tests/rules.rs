//! Whatever happens to an engine, in whatever order: each question ends once, and nothing is left of any.

use proptest::prelude::*;

use super::guarded::foreign;
use super::*;

const THREE: [&str; 3] = ["10.0.0.2", "10.0.0.3", "10.0.0.4"];
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

#[derive(Debug, Clone, Copy)]
enum Move {
    Attempt(u8, Who),
    /// Of those sent, counted from the last.
    Answer(u8, How),
    Streamed(u8, Option<How>),
    Refused(u8),
    Adopt(u8),
    RenewSockets,
    /// These upstreams loop, a bit each.
    Convict(u8),
    Waver(u16),
    Returned(u8, u16),
    Widen(u8),
    Remind(u8, u64),
    Wait(u64),
}

#[derive(Debug, Clone, Copy)]
enum Who {
    Client,
    Upstream,
    Through(u16),
    Onward,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Good,
    Negative,
    Cut,
    NoEdns,
    Bare,
    Failure,
    Garbage,
    OtherSpelling,
    OtherName,
}

fn how() -> impl Strategy<Value = How> {
    let all = [How::Negative, How::Cut, How::NoEdns, How::Bare, How::Failure, How::Garbage, How::OtherSpelling];
    prop_oneof![2 => Just(How::Good), 1 => Just(How::OtherName), 9 => prop::sample::select(all.to_vec())]
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let who = prop_oneof![
        4 => Just(Who::Client),
        1 => Just(Who::Upstream),
        1 => (0..3_u16).prop_map(Who::Through),
        2 => Just(Who::Onward),
    ];
    let wait = prop_oneof![4 => 0..50_u64, 4 => 0..700_u64, 1 => 0..7_000_u64];
    let one = prop_oneof![
        10 => (0..5_u8, who).prop_map(|(name, who)| Move::Attempt(name, who)),
        14 => (0..9_u8, how()).prop_map(|(nth, how)| Move::Answer(nth, how)),
        5 => (0..4_u8, prop::option::of(how())).prop_map(|(nth, how)| Move::Streamed(nth, how)),
        1 => any::<u8>().prop_map(Move::Refused),
        3 => (0..5_u8).prop_map(Move::Adopt),
        1 => Just(Move::RenewSockets),
        2 => (0..8_u8).prop_map(Move::Convict),
        1 => (0..3_u16).prop_map(Move::Waver),
        2 => (0..5_u8, 0..3_u16).prop_map(|(name, upstream)| Move::Returned(name, upstream)),
        1 => (0..5_u8).prop_map(Move::Widen),
        1 => (0..5_u8, 0..3_000_u64).prop_map(|(name, ms)| Move::Remind(name, ms)),
        9 => wait.prop_map(Move::Wait),
    ];
    prop::collection::vec(one, 0..120)
}

/// The sets that discovery may find, with the numbers that their servers always have.
fn sets() -> [Arc<UpstreamSet>; 5] {
    let mut numbers = UpstreamIds::default();
    [(&THREE[..], true), (&THREE[..], false), (&THREE[..1], true), (&THREE[1..], true), (&[], true)].map(
        |(servers, equivalent)| {
            let servers = servers.iter().map(|server| (server.parse().unwrap(), Arc::from("test")));
            Arc::new(UpstreamSet::new(servers.collect(), Some(equivalent), &mut numbers))
        },
    )
}

/// Makes a response of a query without an OPT.
fn respond(m: &mut Vec<u8>, how: How) {
    match how {
        How::Good => {
            m[7] = 1;
            m.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        }
        How::Negative => m[3] |= 3,
        How::Cut => m[2] |= 2,
        How::NoEdns => m[3] |= 1,
        How::Bare => {
            m[3] |= 1;
            m[5] = 0;
            m.truncate(crate::wire::HEADER);
        }
        How::Failure => m[3] |= 2,
        How::Garbage => m[7] = 9,
        How::OtherSpelling => m[13] ^= 0x20,
        How::OtherName => m[13] = b'z',
    }
}

/// An engine, and how often each question was asked of it.
struct Run {
    w: World,
    sets: [Arc<UpstreamSet>; 5],
    asked: Vec<QuestionKey>,
}

impl Run {
    fn ask(&mut self, name: &str, who: Who) {
        let key = key(name);
        let count = |keys: &[QuestionKey]| keys.iter().filter(|one| **one == key).count();
        if count(&self.asked) > count(&self.w.ended) {
            return; // who asks the same meanwhile joins, and the engine hears nothing of it
        }
        let plain = question(name);
        let question = match who {
            Who::Client => plain,
            Who::Upstream => LookupRequest { from: Some([10, 0, 0, 2].into()), ..plain },
            Who::Through(number) => LookupRequest { through: Some(UpstreamId(number)), ..plain },
            Who::Onward => foreign(&self.w, name),
        };
        self.asked.push(key);
        self.w.engine.ask(question, self.w.now);
    }

    fn streamed(&mut self, nth: u8, how: Option<How>) {
        let streams = &self.w.streams;
        let Some(&(attempt, _)) = streams.len().checked_sub(1 + usize::from(nth)).and_then(|at| streams.get(at)) else {
            return;
        };
        let message = self.w.engine.message(attempt).map(<[u8]>::to_vec).zip(how).map(|(mut m, how)| {
            m.truncate(m.len() - if m[11] == 1 { 11 } else { 0 });
            (m[2], m[3], m[11]) = (0x81, 0x80, 0);
            respond(&mut m, how);
            m
        });
        self.w.streamed(attempt, message.as_deref());
    }

    fn make(&mut self, one: Move) {
        let now = self.w.now;
        let name = |name: u8| NAMES[usize::from(name)];
        match one {
            Move::Attempt(which, who) => self.ask(name(which), who),
            Move::Answer(nth, how) => {
                if let Some(nth) = self.w.sent.len().checked_sub(1 + usize::from(nth)) {
                    self.w.answer_with(nth, |m| respond(m, how));
                }
            }
            Move::Streamed(nth, how) => self.streamed(nth, how),
            Move::Refused(which) => {
                let mut open: Vec<_> = self.w.sockets.iter().map(|(socket, upstream)| (*socket, *upstream)).collect();
                open.sort_unstable();
                if let Some((socket, upstream)) = open.get(usize::from(which) % open.len().max(1)) {
                    self.w.engine.refused(UpstreamId(u16::try_from(*upstream).unwrap()), *socket, now);
                }
            }
            Move::Adopt(which) => self.w.engine.adopt(Arc::clone(&self.sets[usize::from(which)])),
            Move::RenewSockets => self.w.engine.renew_sockets(),
            Move::Convict(bits) => {
                let convicted = (0..3_u16).filter(|number| bits >> number & 1 == 1).map(UpstreamId);
                self.w.engine.guide(guidance(Verdicts::of_loops(convicted)), now);
            }
            Move::Waver(number) => self.w.engine.guide(guidance(Verdicts::of_wavering(UpstreamId(number))), now),
            Move::Returned(which, number) => self.w.engine.returned(&key(name(which)), UpstreamId(number), now),
            Move::Widen(which) => self.w.engine.widen(&key(name(which)), now),
            Move::Remind(which, ms) => self.w.engine.remind(&key(name(which)), now + Duration::from_millis(ms)),
            Move::Wait(ms) => self.w.pass(ms),
        }
        self.w.act();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_question_ends_once_and_nothing_is_left_whatever_happens(moves in moves()) {
        let mut run = Run { w: world(&THREE, None), sets: sets(), asked: vec![] };
        for one in moves {
            run.make(one);
            prop_assert!(run.w.engine.lookups.len() <= run.asked.len());
        }
        run.w.pass(7_000);
        run.w.assert_empty();
        run.asked.sort_unstable_by(|one, other| one.bytes().cmp(other.bytes()));
        run.w.ended.sort_unstable_by(|one, other| one.bytes().cmp(other.bytes()));
        prop_assert_eq!(&run.asked, &run.w.ended);
        prop_assert!(run.w.sent.len() <= run.asked.len() * 30, "{} sent", run.w.sent.len());
        run.w.engine.adopt(Arc::default());
        run.w.act();
        prop_assert!(run.w.engine.peers.0.is_empty() && run.w.sockets.is_empty());
    }
}
