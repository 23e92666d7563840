//! Random networks, and what must hold in every one of them.

use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::onward::Onward;
use super::servers::{Forwarder, Good, Manners};
use super::tests::ALL;
use super::{Node, Place, World};
use crate::guard::Standing;
use crate::wire::flag;
use crate::wire::name::wire;
use crate::wire::query::packets;

/// Who forwards to whom: Onwards first, then forwarders, then good servers, which forward to nobody.
#[derive(Debug)]
struct Topology {
    onwards: usize,
    forwarders: usize,
    edges: Vec<Vec<Place>>,
    manners: Vec<Manners>,
    takes: Vec<Duration>,
}

impl Topology {
    /// A network where each cycle has an Onward in it; forwarders alone would spin for ever without our doing. An
    /// acyclic one has at least one good server.
    fn random(rng: &mut StdRng, acyclic: bool) -> Self {
        let (onwards, forwarders) = (rng.random_range(1..5), rng.random_range(0..5));
        let good = rng.random_range(usize::from(acyclic || onwards + forwarders < 2)..3);
        let count = onwards + forwarders + good;
        let mut edges = Vec::new();
        for place in 0..count - good {
            let later = place + 1..count;
            let mut others: Vec<Place> = match (acyclic, place < onwards) {
                (true, _) => later.collect(),
                (false, true) => (0..count).filter(|other| *other != place).collect(),
                (false, false) => (0..onwards).chain(later).collect(),
            };
            others.shuffle(rng);
            others.truncate(rng.random_range(1..4));
            edges.push(others);
        }
        edges.resize(count, Vec::new());
        let manners = |rng: &mut StdRng| {
            let all = rng.random_bool(0.2);
            Manners {
                strips: rng.random(),
                lowers: rng.random(),
                merges: rng.random(),
                all,
                sets: [0, flag::DO, flag::DO | flag::CD][rng.random_range(0..3)],
                random: (!all && rng.random_bool(0.2)).then(|| rng.random()),
                again: usize::from(!all && rng.random_bool(0.2)),
                zone: None,
                denies: false,
            }
        };
        let manners = (0..forwarders).map(|_| manners(rng)).collect();
        let takes = (0..good).map(|_| Duration::from_millis(rng.random_range(1..200))).collect();
        Self { onwards, forwarders, edges, manners, takes }
    }

    fn world(&self, seed: u64) -> World {
        let all = ALL;
        let node = |place: Place| -> Box<dyn Node> {
            if let Some(at) = place.checked_sub(self.onwards + self.forwarders) {
                return Box::new(Good { takes: self.takes[at] });
            }
            let edges = &self.edges[place];
            match place.checked_sub(self.onwards) {
                Some(at) => Box::new(Forwarder::new(self.manners[at], edges.clone())),
                None => Box::new(Onward::new(u8::try_from(place).unwrap(), all, edges)),
            }
        };
        World::new(seed, (0..self.edges.len()).map(node).collect())
    }

    /// Points all forwarders at one good server, or back to where they belong.
    fn point(&self, world: &mut World, at: Option<Place>) {
        for place in self.onwards..self.onwards + self.forwarders {
            match at {
                Some(good) => world.nodes[place].reconfigure(&[good]),
                None => world.nodes[place].reconfigure(&self.edges[place]),
            }
        }
    }

    /// Whether all that is asked of `upstream` comes back to `place`, and to nobody else.
    fn is_loop(&self, place: Place, upstream: Place) -> bool {
        let reach = self.reach(upstream, Some(place));
        reach.iter().all(|end| *end == place || !self.is_good(*end) && *end >= self.onwards)
    }

    /// Whether the tag of `place` survives whatever a query to `upstream` goes through. (Ordinary queries are not
    /// spelled.)
    fn keeps_the_tag(&self, place: Place, upstream: Place) -> bool {
        let reach = self.reach(upstream, Some(place));
        let mut hops = reach.iter().filter_map(|hop| self.manners.get(hop.checked_sub(self.onwards)?));
        hops.all(|manners| !manners.strips)
    }

    fn is_good(&self, place: Place) -> bool {
        place >= self.onwards + self.forwarders
    }

    /// All places that a question at `from` can come to, without passing `but`.
    fn reach(&self, from: Place, but: Option<Place>) -> Vec<Place> {
        let mut seen = vec![from];
        let mut at = 0;
        while let Some(place) = seen.get(at).copied() {
            at += 1;
            if Some(place) == but {
                continue;
            }
            for next in &self.edges[place] {
                if !seen.contains(next) {
                    seen.push(*next);
                }
            }
        }
        seen
    }
}

fn name(n: usize) -> Vec<u8> {
    wire(&format!("question-number-{n}.some-service.default.svc.cluster.local"))
}

/// Asks every Onward a question, once a second, for `seconds`; returns the questions.
fn ask(world: &mut World, onwards: usize, seconds: usize) -> Vec<(Place, usize)> {
    let mut asked = Vec::new();
    for _ in 0..seconds {
        for place in 0..onwards {
            let number = world.asked.len();
            world.ask(place, &name(number));
            asked.push((place, number));
        }
        world.run(Duration::from_secs(1));
    }
    world.run(Duration::from_secs(10));
    asked
}

/// Queries on the wire for one question at most, in networks of up to eleven nodes with three servers each. It is far
/// more than usual where several forwarders lose the tag, the only mark of ordinary queries, ask again by themselves
/// for seconds, and nobody knows the answer.
const BOUND: usize = 450;
/// And on the average of all questions in a network.
const AVERAGE: usize = 80;

proptest! {
    #![proptest_config(packets::the_same_cases(200))]

    #[test]
    fn every_cycle_is_cut_or_freed_and_every_query_ends(seed in any::<u64>()) {
        let topology = Topology::random(&mut StdRng::seed_from_u64(seed), false);
        let mut world = topology.world(seed);
        let mut early = Vec::new();
        // Half of the networks are sound at first; their loops form when the forwarders are reconfigured.
        let sound = (seed % 2 == 0).then(|| topology.edges.len() - 1);
        let sound = sound.filter(|last| topology.is_good(*last));
        if sound.is_some() {
            topology.point(&mut world, sound);
            ask(&mut world, topology.onwards, 30);
            topology.point(&mut world, None);
            early = ask(&mut world, topology.onwards, 3);
            for (place, onward) in world.onwards() {
                let first = topology.edges[place][0];
                let convicted = onward.standing(first) >= Standing::LastResort;
                // Where only silence speaks, of an upstream that was late before, it may take until the next probe of
                // routine.
                let is_seen = topology.is_loop(place, first) && topology.keeps_the_tag(place, first);
                prop_assert!(convicted || !is_seen, "{place} asks {first}: {topology:?}");
            }
        }
        early.extend(ask(&mut world, topology.onwards, 60));
        let late = ask(&mut world, topology.onwards, 10);
        for (place, number) in early.iter().chain(&late) {
            let asked = world.asked[*number];
            let (at, _) = asked.answered.expect("every question ends");
            let took = at - asked.sent;
            prop_assert!(took < Duration::from_millis(1_810), "{took:?} at {place}: {topology:?}");
            let queries = world.queries(&name(*number));
            prop_assert!(queries <= BOUND, "{queries} queries at {place}: {topology:?}");
        }
        let all: usize = late.iter().map(|(_, number)| world.queries(&name(*number))).sum();
        prop_assert!(all <= AVERAGE * late.len(), "{all} queries for {} questions: {topology:?}", late.len());
        for (place, number) in late {
            let (at, code) = world.asked[number].answered.expect("every question ends");
            let took = at - world.asked[number].sent;
            // Onwards in a ring let each other wait, and no mark shows it; each costs a hedge timer until its health
            // tells.
            if let Some(before) = topology.edges[place].iter().position(|upstream| topology.is_good(*upstream)) {
                let most = Duration::from_millis(210 + 400 * u64::try_from(before).unwrap());
                prop_assert!(code == 0 && took < most, "{code} after {took:?} at {place}: {topology:?}");
            }
        }
        for (place, onward) in world.onwards() {
            for upstream in &topology.edges[place] {
                let reach = topology.reach(*upstream, Some(place));
                let convicted = onward.standing(*upstream) >= Standing::LastResort;
                prop_assert!(!convicted || reach.contains(&place), "{place} convicts {upstream}: {topology:?}");
                prop_assert!(convicted || !topology.is_loop(place, *upstream), "{place} frees {upstream}: {topology:?}");
            }
        }
    }

    #[test]
    fn acyclic_networks_are_never_cut_nor_convicted(seed in any::<u64>()) {
        let topology = Topology::random(&mut StdRng::seed_from_u64(seed), true);
        let mut world = topology.world(seed);
        for (place, number) in ask(&mut world, topology.onwards, 30) {
            let (_, code) = world.asked[number].answered.expect("every question ends");
            prop_assert_eq!(code, 0, "at {}: {:?}", place, topology);
        }
        for (_, onward) in world.onwards() {
            prop_assert!(!onward.convicts());
            // What comes by a detour, beside a shorter way, may be refused; its client has its answer by that.
            prop_assert_eq!(onward.queries_held(), 0);
        }
    }
}
