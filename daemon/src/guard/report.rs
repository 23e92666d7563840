//! What people are told: who, through whom, by which witness, for which names, and what to do about it. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::mark_support::Marks;
use super::remedy::remedy;
use super::verdict::{Evidence, Standing, Witness};
use crate::logging::LogEvent;
use crate::upstream::{Transport, Upstream};
use crate::wire::name;
use crate::wire::query::shown;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A witness has spoken; a probe goes out.
    Suspected,
    /// It sends our questions back to us, and is not asked until it answers by itself.
    Looping,
    /// It sends some of our questions back to us, and is asked last.
    HalfLooping,
    /// It was convicted, but answers by itself as well: half a loop, and asked last.
    Halved,
    /// It answers by itself again.
    Released,
    /// No probe comes home through it any more, though it answers none.
    Faded,
    /// A verdict still holds while the upstreams are being told; with the time since it was given.
    Holds(Standing, Duration),
    /// Probes with and without marks taught what it bears.
    Learnt(Marks),
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What happened.
    pub kind: Kind,
    /// To whom.
    pub upstream: Arc<Upstream>,
    /// Over what.
    pub transport: Transport,
    /// For which names: lower-cased wire form, the root's one zero for all.
    pub suffix: Box<[u8]>,
    /// The only type that it is about, if not all.
    pub qtype: Option<u16>,
    /// What it rests on; only a suspicion has none.
    pub evidence: Option<Evidence>,
    /// Who made us look.
    pub witness: Option<Witness>,
}

impl Report {
    /// Whether it is a warning to be read, or for those who look closely.
    #[must_use]
    pub fn level(&self) -> log::Level {
        match self.kind {
            Kind::Looping | Kind::HalfLooping | Kind::Halved | Kind::Holds(..) => log::Level::Warn,
            Kind::Released | Kind::Faded | Kind::Learnt(_) => log::Level::Info,
            Kind::Suspected => log::Level::Debug,
        }
    }

    /// The sentence for the journal.
    #[must_use]
    pub fn text(&self) -> String {
        let Upstream { endpoint: server, source, .. } = &*self.upstream;
        let over = transport(self.transport);
        let questions = match self.qtype {
            Some(qtype) => format!("questions of type {qtype}"),
            None => "questions".to_owned(),
        };
        let names = match &*self.suffix {
            name::ROOT => questions,
            suffix => format!("{questions} for names under {}", shown(suffix)),
        };
        match self.kind {
            Kind::Suspected => {
                format!("{server} (from {source}) may send {names} back to us over {over}; asking it a probe")
            }
            Kind::Looping => format!(
                "{server} (from {source}) sends {names} back to us over {over}{}; not asking it until it answers by itself. {}",
                self.path(),
                remedy(&self.upstream)
            ),
            Kind::HalfLooping | Kind::Halved => format!(
                "{server} (from {source}) sends some {names} back to us over {over}{}, answering others; asking it last. {}",
                self.path(),
                remedy(&self.upstream)
            ),
            Kind::Released => format!("{server} (from {source}) answers {names} over {over} by itself again; in use"),
            Kind::Faded => format!(
                "{server} (from {source}) no longer sends {names} back to us over {over}, as far as probes show, which it \
                 does not answer; in use"
            ),
            Kind::Holds(standing, since) => {
                let what = if standing == Standing::LastResort { "asking it last" } else { "not asking it" };
                let since = humantime::format_duration(Duration::from_secs(since.as_secs()));
                format!("{server} (from {source}) sends {names} back to us over {over}, found {since} ago; {what}")
            }
            Kind::Learnt(bears) => {
                let without: Vec<_> =
                    [(bears.opt, "EDNS"), (bears.tag, "the loop tag"), (bears.spelling, "spelled names")]
                        .into_iter()
                        .filter_map(|(borne, what)| (!borne).then_some(what))
                        .collect();
                match without.is_empty() {
                    true => format!("{server} (from {source}) bears all marks of the loop guard"),
                    false => {
                        format!("{server} (from {source}) does not bear {}; asking it without", without.join(", "))
                    }
                }
            }
        }
    }

    /// Fields for the journal: name and value. `counts` are how often each witness has spoken against this upstream.
    #[must_use]
    pub fn fields(&self, counts: &[(Witness, u64)]) -> Vec<(&'static str, String)> {
        let event = match self.kind {
            Kind::Suspected => LogEvent::Suspected,
            Kind::Looping => LogEvent::Looping,
            Kind::HalfLooping | Kind::Halved => LogEvent::HalfLooping,
            Kind::Released | Kind::Faded => LogEvent::Released,
            Kind::Holds(..) => LogEvent::Holds,
            Kind::Learnt(_) => LogEvent::Learnt,
        };
        let mut fields = vec![
            ("event", event.name().to_owned()),
            ("upstream", self.upstream.endpoint.to_string()),
            ("source", self.upstream.source.to_string()),
            ("transport", transport(self.transport).to_owned()),
            ("suffix", shown(&self.suffix)),
            ("type", self.qtype.map_or_else(|| "all".to_owned(), |qtype| qtype.to_string())),
            ("witness", self.witness.map_or_else(|| "routine".to_owned(), |witness| witness.to_string())),
        ];
        for (witness, count) in counts {
            let name = match witness {
                Witness::Tag => "tags_seen",
                Witness::Spelling => "spellings_seen",
                Witness::Silence => "silences_seen",
            };
            fields.push((name, count.to_string()));
        }
        if let Some(evidence) = &self.evidence {
            fields.push(("last_hop", evidence.from.to_string()));
            fields.push(("onwards_passed", evidence.onwards.to_string()));
            fields.push(("came_home_over", transport(evidence.over).to_owned()));
        }
        if matches!(self.kind, Kind::Looping | Kind::HalfLooping | Kind::Halved | Kind::Holds(..)) {
            fields.push(("remedy", remedy(&self.upstream)));
        }
        fields
    }

    fn path(&self) -> String {
        let Some(evidence) = &self.evidence else { return String::new() };
        let others = match evidence.onwards {
            0 => String::new(),
            1 => ", having passed another Onward".to_owned(),
            count => format!(", having passed {count} other Onwards"),
        };
        let other_transport = match evidence.over == self.transport {
            true => String::new(),
            false => format!(" over {}", transport(evidence.over)),
        };
        format!(" (our probe came home from {}{other_transport}{others})", evidence.from)
    }
}

fn transport(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "UDP",
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::UpstreamId;
    use crate::wire::name::wire;

    fn report(server: &str, source: &str, suffix: &str) -> Report {
        let upstream = Upstream { id: UpstreamId(0), endpoint: server.parse().unwrap(), source: source.into() };
        Report {
            kind: Kind::Looping,
            upstream: Arc::new(upstream),
            transport: Transport::Udp,
            suffix: wire(suffix).into(),
            qtype: None,
            evidence: Some(Evidence {
                witness: Some(Witness::Tag),
                from: [10, 0, 0, 9].into(),
                over: Transport::Tcp,
                onwards: 1,
            }),
            witness: Some(Witness::Tag),
        }
    }

    #[test]
    fn a_verdict_is_told_with_evidence_and_a_remedy() {
        let report = report("127.0.0.53", "/etc/resolv.conf", "corp.example");
        assert_eq!(
            report.text(),
            "127.0.0.53:53 (from /etc/resolv.conf) sends questions for names under corp.example. back to us over UDP (our \
             probe came home from 10.0.0.9 over TCP, having passed another Onward); not asking it until it answers by itself. \
             That is systemd-resolved, which has our address among its servers: `resolvectl dns` shows where; take it \
             out of DNS= in /etc/systemd/resolved.conf and its drop-ins, of the link's .network file, or of what DHCP gives. \
             The address is from /etc/resolv.conf: take the line out there, or change what writes that file (its first lines \
             mostly say)."
        );
        let fields = report.fields(&[(Witness::Tag, 3), (Witness::Silence, 1)]);
        for field in [
            ("witness", "tag"),
            ("suffix", "corp.example."),
            ("last_hop", "10.0.0.9"),
            ("tags_seen", "3"),
            ("silences_seen", "1"),
        ] {
            assert!(fields.contains(&(field.0, field.1.to_owned())), "{field:?}");
        }
    }

    #[test]
    fn a_verdict_that_holds_is_told_in_short_with_its_age() {
        let holds = |standing| Report {
            kind: Kind::Holds(standing, Duration::from_millis(125_400)),
            ..report("127.0.0.53", "/etc/resolv.conf", "")
        };
        assert_eq!(
            holds(Standing::Quarantined).text(),
            "127.0.0.53:53 (from /etc/resolv.conf) sends questions back to us over UDP, found 2m 5s ago; not asking it"
        );
        assert!(holds(Standing::LastResort).text().ends_with("asking it last"));
    }

    #[test]
    fn the_remedy_names_the_file_that_gave_us_the_address() {
        for (server, source, what) in [
            ("169.254.25.10", "configuration", ["kubespray", "/etc/onward/onward.toml"]),
            ("127.0.0.1", "/run/NetworkManager/resolv.conf", ["dnsmasq", "nmcli"]),
            ("10.96.0.10", "/run/systemd/resolve/resolv.conf", ["Corefile", "resolved.conf"]),
            ("127.0.0.11", "/etc/resolv.conf", ["dockerd", "take the line out"]),
        ] {
            let remedy = remedy(&report(server, source, "").upstream);
            assert!(what.iter().all(|what| remedy.contains(what)), "{remedy}");
        }
    }
}
