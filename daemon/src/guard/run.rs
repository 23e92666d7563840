//! The judge at work: what its handle, [`super::Guard`], was told comes in, probes go out, verdicts are published,
//! people are told.

use std::sync::{Arc, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::event::{Action, Event};
use super::exchange::AskOverTls;
use super::handle::Published;
use super::{Judge, MarkKey, Nonce, Report, Witness, exchange};
use crate::clock;
use crate::upstream::{Transport, Upstream, UpstreamSet};

/// Runs the judge.
#[derive(Debug)]
pub struct Driver {
    pub(super) judge: Judge,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) set: watch::Receiver<Arc<UpstreamSet>>,
    pub(super) key: watch::Receiver<Arc<MarkKey>>,
    pub(super) published: Arc<Published>,
}

impl Driver {
    /// Judges until the last [`Guard`](super::Guard) is gone. `published` is called whenever there are other verdicts:
    /// lookups that wait for who was convicted are to be freed. Probes of encrypted upstreams go by `over_tls`.
    pub async fn run(mut self, published: impl Fn() + Send, over_tls: AskOverTls) {
        let mut probes: JoinSet<Event> = JoinSet::new();
        loop {
            let due = self.judge.due(clock::now());
            // A probe that came home must be heard of before its end, hence the order.
            let event = tokio::select! {
                biased;
                changed = self.key.changed() => match changed {
                    Ok(()) => Event::KeyChanged(Arc::clone(&self.key.borrow_and_update())),
                    Err(_) => return,
                },
                changed = self.set.changed() => match changed {
                    Ok(()) => Event::SetChanged(Arc::clone(&self.set.borrow_and_update())),
                    Err(_) => return,
                },
                Some(event) = self.events.recv() => event,
                Some(Ok(event)) = probes.join_next() => event,
                () = clock::reached(due) => Event::Tick,
            };
            if let Event::Witness { upstream, witness, .. } = &event {
                self.published.count(*upstream, *witness);
            }
            for action in self.judge.handle(event, clock::now()) {
                let is_news = matches!(action, Action::Publish(_));
                self.perform(action, |nonce, upstream, transport, message| {
                    let over_tls = Arc::clone(&over_tls);
                    probes.spawn(async move {
                        let heard = exchange::ask(&upstream.endpoint, transport, &message, &over_tls).await;
                        Event::ProbeOver { nonce, heard }
                    });
                });
                if is_news {
                    published();
                }
            }
            *self.published.counters.lock().unwrap_or_else(PoisonError::into_inner) = self.judge.counters();
        }
    }

    /// Does what the judge wants done; `send` sends its probes.
    fn perform(&self, action: Action, send: impl FnOnce(Nonce, Arc<Upstream>, Transport, Vec<u8>)) {
        match action {
            Action::Publish(verdicts) => self.published.verdicts.store(verdicts),
            Action::Tell(report) => log(&report, &self.published.counts_of(report.upstream.id)),
            Action::SendProbe { nonce, upstream, transport, message } => {
                self.published.sent(nonce, upstream.id);
                send(nonce, upstream, transport, message);
            }
        }
    }
}

/// Writes a report to the log, with its fields, and how often each witness spoke against its upstream.
pub(super) fn log(report: &Report, counts: &[(Witness, u64)]) {
    let fields = report.fields(counts);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let logger = log::logger();
    let metadata = log::Metadata::builder().level(report.level()).target(module_path!()).build();
    if report.level() <= log::max_level() && logger.enabled(&metadata) {
        logger.log(
            &log::Record::builder()
                .metadata(metadata)
                .args(format_args!("{}", report.text()))
                .module_path_static(Some(module_path!()))
                .key_values(&fields.as_slice())
                .build(),
        );
    }
}

#[cfg(test)]
mod stepped;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::guard::{Asked, Guard, Settings, Standing, probe};
    use crate::upstream::set::UpstreamIds;
    use crate::wire::name;

    /// Where no upstream is encrypted.
    fn nobody() -> AskOverTls {
        Arc::new(|_, _| Box::pin(std::future::ready(None)))
    }

    /// An upstream on loopback that brings each probe home and passes our SERVFAIL on, or says NXDOMAIN.
    async fn upstream(guard: Guard, socket: tokio::net::UdpSocket, loops: bool) {
        let mut buffer = [0; 1232];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let end = 12 + buffer[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
            let nonce = probe::nonce(&buffer[12..end]).unwrap();
            assert!(nonce.is_ours(&guard.key()));
            if loops {
                let _ = guard.probe_home(nonce, (from.ip(), Transport::Udp), 0, clock::now());
            }
            (buffer[2], buffer[3]) = (0x81, if loops { 0x82 } else { 0x83 });
            socket.send_to(&buffer[..length], from).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_loop_on_loopback_is_found_and_a_good_server_is_not() {
        let (guard, driver) = Guard::new(Settings::default(), &[]);
        let mut tasks = JoinSet::new();
        tasks.spawn(driver.run(|| {}, nobody()));
        let mut servers = Vec::new();
        for loops in [true, false] {
            let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            servers.push((socket.local_addr().unwrap().into(), "a".into()));
            tasks.spawn(upstream(guard.clone(), socket, loops));
        }
        let set = UpstreamSet::new(servers, None, &mut UpstreamIds::default());
        let [bad, good] = [set.upstreams[0].id, set.upstreams[1].id];
        guard.set_changed(Arc::new(set));
        let any = || Asked { name: name::ROOT, qtype: 1 };
        guard.suspect(good, Transport::Udp, Witness::Tag, any());
        let standing = |number| guard.verdicts().standing(number, Transport::Udp, any());
        let found = async {
            while standing(bad) != Standing::Quarantined || guard.counts() != [((good, Witness::Tag), 1)] {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), found).await.unwrap();
        assert!(standing(good) < Standing::LastResort);
        let counters = guard.counters();
        assert!(counters.suspicions == [1, 0, 0] && counters.probes[0] >= 4 && counters.given >= 1, "{counters:?}");
        let nonce = Nonce::new(1, &guard.key());
        let home = || guard.probe_home(nonce, ([10, 0, 0, 9].into(), Transport::Udp), 0, clock::now());
        assert_eq!((home(), home()), (true, false), "only the first is held");
        let an_hour_ago = clock::now() - Duration::from_secs(3600);
        assert!(guard.has_probe_come_home(bad, an_hour_ago) && !guard.has_probe_come_home(good, an_hour_ago));
        assert!(!guard.has_probe_come_home(bad, clock::now()));
        let before = guard.key().process();
        guard.addresses_changed(&[[10, 0, 0, 1].into()]);
        assert_ne!(guard.key().process(), before);
    }

    #[tokio::test]
    async fn a_probe_over_tcp_is_answered_or_not() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap().into();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut message = vec![0; stream.read_u16().await.unwrap().into()];
            stream.read_exact(&mut message).await.unwrap();
            (message[2], message[3]) = (0x81, 0x83);
            stream.write_u16(message.len().try_into().unwrap()).await.unwrap();
            stream.write_all(&message).await.unwrap();
        };
        let query = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";
        let over_tls = nobody();
        let (heard, ()) = tokio::join!(exchange::ask(&server, Transport::Tcp, query, &over_tls), serve);
        assert!(heard.unwrap().own);
        drop(listener);
        assert_eq!(exchange::ask(&server, Transport::Tcp, query, &nobody()).await, None);
    }
}
