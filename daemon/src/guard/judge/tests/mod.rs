//! The judge in a world without a clock, whose upstreams do with probes as each test says.

mod convicted;
mod health;
mod marks;
mod rules;
mod strangers;
mod witnesses;

use super::*;
use crate::guard::report::Report;
use crate::upstream::set::UpstreamIds;
use crate::wire::name::wire;

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
    sent: Vec<(Instant, UpstreamId, Transport, Vec<u8>)>,
    told: Vec<Report>,
    verdicts: Arc<Verdicts>,
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
        let mut world =
            Self { judge, now: crate::clock::now(), sent: Vec::new(), told: Vec::new(), verdicts: Arc::default() };
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
                        let does = does(upstream.id, &message);
                        let own = matches!(does, Does::Answers | Does::LoopsAndAnswers);
                        let heard = (does != Does::Silent).then_some(ProbeReply { own, spelling_kept: true });
                        self.sent.push((self.now, upstream.id, transport, message));
                        events.push(Event::ProbeOver { nonce, heard });
                        if matches!(does, Does::Loops | Does::LoopsAndAnswers) {
                            let from = upstream.server.ip();
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
        let event = Event::Witness { upstream: UpstreamId(0), transport: UDP, witness, name: wire(name).into() };
        self.tell(event, does);
    }

    fn standing(&self, name: &str) -> Standing {
        self.verdicts.standing(UpstreamId(0), UDP, &wire(name))
    }

    fn told(&self, kind: Kind) -> usize {
        self.told.iter().filter(|report| report.kind == kind).count()
    }
}

fn always(does: Does) -> impl Fn(UpstreamId, &[u8]) -> Does {
    move |_, _| does
}
