//! The judge in a world without a clock, whose upstreams do with probes as each test says.

mod convicted;
mod health;
mod marks;
mod odd_loops;
mod rules;
mod strangers;
mod witnesses;

use super::*;
use crate::guard::probe::ProbeReply;
use crate::guard::report::Report;
use crate::guard::verdict::{Asked, Standing, Witness};
use crate::upstream::set::UpstreamIds;
use crate::wire::name::wire;

/// What an upstream does with a probe.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    /// Answers by itself.
    Answers,
    /// Sends it back to us and passes our SERVFAIL on.
    Loops,
    /// Sends it back to us, and says nothing more.
    LoopsSilently,
    /// Sends it back to us and passes our SERVFAIL on, but also asks another server.
    LoopsAndAnswers,
    /// Nothing.
    Silent,
    /// Fails by itself.
    Fails,
}

struct World {
    judge: Judge,
    now: Instant,
    sent: Vec<(Instant, UpstreamId, Transport, Vec<u8>)>,
    told: Vec<Report>,
    verdicts: Arc<Verdicts>,
    /// What upstreams do over TCP, if that is something else.
    over_tcp: Option<Does>,
}

const UDP: Transport = Transport::Udp;

fn set(servers: &[&str]) -> Arc<UpstreamSet> {
    let servers = servers.iter().map(|server| (server.parse().unwrap(), "/etc/resolv.conf".into())).collect();
    Arc::new(UpstreamSet::new(servers, None, &mut UpstreamIds::default()))
}

fn qname(message: &[u8]) -> Vec<u8> {
    let end = 12 + message[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
    message[12..end].to_ascii_lowercase()
}

impl World {
    /// A judge that has looked at `servers` once, each doing as `does` says.
    fn new(servers: &[&str], does: impl Fn(UpstreamId, &[u8]) -> Does) -> Self {
        let key = Arc::new(crate::guard::key::of(1));
        let judge = Judge::new(Settings::default(), key, [5; 32]);
        let mut world = Self {
            judge,
            now: crate::clock::now(),
            sent: Vec::new(),
            told: Vec::new(),
            verdicts: Arc::default(),
            over_tcp: None,
        };
        world.tell(Event::SetChanged(set(servers)), &does);
        world.run(2, &does);
        world.sent.clear();
        world
    }

    /// Takes an event, and plays out what it causes at once.
    fn tell(&mut self, event: Event, does: &impl Fn(UpstreamId, &[u8]) -> Does) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.judge.handle(event, self.now) {
                match action {
                    Action::Publish(verdicts) => self.verdicts = verdicts,
                    Action::Tell(report) => self.told.push(*report),
                    Action::SendProbe { nonce, upstream, transport, message } => {
                        let other = self.over_tcp.filter(|_| transport == Transport::Tcp);
                        let does = other.unwrap_or_else(|| does(upstream.id, &message));
                        let own = matches!(does, Does::Answers | Does::LoopsAndAnswers);
                        let heard = (does != Does::Silent).then_some(ProbeReply { own, spelling_kept: true });
                        self.sent.push((self.now, upstream.id, transport, message));
                        if does != Does::LoopsSilently {
                            events.push(Event::ProbeOver { nonce, heard });
                        }
                        if matches!(does, Does::Loops | Does::LoopsAndAnswers | Does::LoopsSilently) {
                            let from = upstream.endpoint.server.ip();
                            events.push(Event::ProbeHome { nonce, from, over: transport, onwards: 0 });
                        }
                    }
                }
            }
        }
    }

    /// Lets `seconds` go by.
    fn run(&mut self, seconds: u64, does: &impl Fn(UpstreamId, &[u8]) -> Does) {
        let end = self.now + Duration::from_secs(seconds);
        while let Some(due) = self.judge.due(self.now).filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.tell(Event::Tick, does);
        }
        self.now = end;
    }

    fn witness(&mut self, witness: Witness, name: &str, does: &impl Fn(UpstreamId, &[u8]) -> Does) {
        let event =
            Event::Witness { upstream: UpstreamId(0), transport: UDP, witness, name: wire(name).into(), qtype: 1 };
        self.tell(event, does);
    }

    fn standing(&self, name: &str) -> Standing {
        self.standing_of(name, 1)
    }

    fn standing_of(&self, name: &str, qtype: u16) -> Standing {
        self.verdicts.standing(UpstreamId(0), UDP, Asked { name: &wire(name), qtype })
    }

    fn told(&self, kind: Kind) -> usize {
        self.told.iter().filter(|report| report.kind == kind).count()
    }
}

fn always(does: Does) -> impl Fn(UpstreamId, &[u8]) -> Does {
    move |_, _| does
}
