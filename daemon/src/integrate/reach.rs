//! Whether pods reach Onward, and where not, why: a nonce is asked from the node itself, then from the networks of pods
//! that run, over UDP and TCP, of each address that the file for kubelet names.

use std::fmt;
use std::net::IpAddr;

use super::nonce::{self, Outcome, Transport};
use super::pods::Pod;

/// Both transports: CoreDNS asks over TCP as well.
const TRANSPORTS: [Transport; 2] = [Transport::Udp, Transport::Tcp];

/// One question, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The pod; `None` for the node itself.
    pub(crate) pod: Option<String>,
    /// Who was asked.
    pub(crate) server: IpAddr,
    /// How.
    pub(crate) transport: Transport,
    /// What came of it.
    pub(crate) outcome: Outcome,
}

/// Asks from the node, and where all is well there from its pods.
#[must_use]
pub(crate) fn try_all(servers: &[IpAddr], pods: &[Pod]) -> Vec<Asked> {
    let mut all = all_of(None, servers, &|server, transport| nonce::ask(server, transport));
    if all.iter().any(|asked| asked.outcome != Outcome::Onward) {
        return all;
    }
    // At once: one that is cut off takes seconds.
    all.extend(std::thread::scope(|scope| {
        let from = |pod: &Pod, server, transport| {
            let asked = pod.within(|| nonce::ask(server, transport));
            asked.unwrap_or_else(|error| Outcome::NoWay(format!("its network cannot be entered: {error}")))
        };
        let threads: Vec<_> = pods
            .iter()
            .map(|pod| {
                scope.spawn(move || all_of(Some(&pod.name), servers, &|server, transport| from(pod, server, transport)))
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect::<Vec<_>>()
    }));
    all
}

fn all_of(pod: Option<&str>, servers: &[IpAddr], ask: &dyn Fn(IpAddr, Transport) -> Outcome) -> Vec<Asked> {
    let each = servers.iter().flat_map(|server| TRANSPORTS.map(|transport| (*server, transport)));
    each.map(|(server, transport)| Asked {
        pod: pod.map(str::to_owned),
        server,
        transport,
        outcome: ask(server, transport),
    })
    .collect()
}

/// Whether any DNS server answers there, over UDP or TCP, whatever it says.
#[must_use]
pub(crate) fn answers(server: IpAddr) -> bool {
    let is_answer = |outcome| matches!(outcome, Outcome::Onward | Outcome::Refused | Outcome::Other(_));
    TRANSPORTS.into_iter().any(|transport| is_answer(nonce::ask(server, transport)))
}

/// Says where Onward is not reached, and what is the cause; nothing where it is, or where nobody was asked.
#[must_use]
pub(crate) fn trouble(asked: &[Asked]) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for one in asked.iter().filter(|one| one.outcome != Outcome::Onward) {
        let mut own = asked.iter().filter(|other| (&other.pod, other.server) == (&one.pod, one.server));
        let is_both = own.all(|other| other.outcome == one.outcome);
        // The second transport's line would say the same again.
        if is_both && one.transport == Transport::Tcp {
            continue;
        }
        let over = if is_both { String::new() } else { format!(" over {}", one.transport) };
        told.push(format!("{} does not reach {}{over}: {}", one.from(), one.server, one.cause(is_both)));
    }
    told
}

impl Asked {
    fn from(&self) -> &str {
        self.pod.as_deref().unwrap_or("this node itself")
    }

    fn cause(&self, is_both: bool) -> String {
        let Self { pod, server, transport, outcome } = self;
        let in_pod = pod.is_some();
        match outcome {
            Outcome::Onward => "it does".to_owned(),
            Outcome::Closed | Outcome::Silence if !in_pod => {
                "nothing answers there; is Onward running? systemctl start onward".to_owned()
            }
            Outcome::Silence if is_both => format!(
                "nothing comes back: a firewall on the node that drops port 53 from pods, a NetworkPolicy, or a network of \
                 pods that does not carry the node's address {server} (Cilium with BPF host routing, for one)"
            ),
            Outcome::Silence => format!(
                "nothing comes back: a firewall or a NetworkPolicy lets the other transport pass, and {transport} not"
            ),
            Outcome::Closed => "the connection is refused, though Onward answers the node: a firewall that rejects, or \
                                something that redirects port 53 of pods (a hostPort, a Service of type LoadBalancer) to \
                                where nothing listens"
                .to_owned(),
            Outcome::Refused if in_pod => {
                "the question is refused: `allow` in Onward's configuration lacks the pod's network, or \
                                           another program answers in its place"
                    .to_owned()
            }
            Outcome::Refused => {
                "the question is refused: another program listens there, or `allow` lacks the node".to_owned()
            }
            Outcome::Other(code) => format!(
                "another program answers (code {code}): something redirects port 53 (a hostPort, a Service of type \
                 LoadBalancer, a node cache), or listens there in Onward's place: ss -lntup 'sport = :53'"
            ),
            Outcome::NoWay(error) => format!(
                "{error}{}",
                if in_pod {
                    "; pods need an address of the file's families, see `families` in Onward's configuration"
                } else {
                    ""
                }
            ),
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 99, 0, 1));

    fn asked(pod: Option<&str>, [udp, tcp]: [Outcome; 2]) -> Vec<Asked> {
        let outcome = |transport| if transport == Transport::Udp { udp.clone() } else { tcp.clone() };
        all_of(pod, &[SERVER], &|_, transport| outcome(transport))
    }

    #[test]
    fn each_trouble_is_told_once_with_its_cause() {
        use Outcome::{Closed, NoWay, Onward, Other, Refused, Silence};
        assert_eq!(trouble(&asked(Some("a"), [Onward, Onward])), [""; 0]);
        for (pod, outcomes, beginning, part) in [
            (
                None,
                [Closed, Closed],
                "this node itself does not reach 10.99.0.1: nothing answers",
                "systemctl start onward",
            ),
            (Some("a"), [Silence, Silence], "a does not reach 10.99.0.1: nothing comes back", "firewall"),
            (Some("a"), [Onward, Silence], "a does not reach 10.99.0.1 over TCP: nothing comes back", "lets the other"),
            (Some("a"), [Refused, Refused], "a does not reach 10.99.0.1: the question is refused", "`allow`"),
            (
                Some("a"),
                [Other(3), Other(3)],
                "a does not reach 10.99.0.1: another program answers (code 3)",
                "hostPort",
            ),
            (Some("a"), [Closed, Closed], "a does not reach 10.99.0.1: the connection is refused", "rejects"),
            (
                Some("a"),
                [NoWay("no route".into()), NoWay("no route".into())],
                "a does not reach 10.99.0.1: no route",
                "families",
            ),
        ] {
            let told = trouble(&asked(pod, outcomes));
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(told[0].starts_with(beginning) && told[0].contains(part), "{told:?}");
        }
        assert_eq!(trouble(&asked(Some("a"), [Silence, Closed])).len(), 2);
    }
}
