//! One look at everything: sources are read, each candidate vetted, a list chosen, and all of it told.
//!
//! Reading is the only I/O here. The rules are in `vet`, the choice is in `preference`.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::governance;
use super::kubelet::{self, Kubelet};
use super::last_good::LastGood;
use super::listed::Listed;
use super::preference::{Decision, HOLD, Offer, Preference, Standing};
use super::programs::{self, NodeView, Programs};
use super::reader::Reader;
use super::reading::Reading;
use super::root::Root;
use super::routes::{self, FoundRoute, RouteSettings};
use super::source_name::SourceName;
use super::sources;
use super::vet::{Refusal, Rules};
use crate::upstream::server::DNS_PORT;
use crate::upstream::{Endpoint, Security, Server};

/// The name of the source that is the configuration's own list.
pub(crate) const CONFIGURATION: &str = "configuration";

/// What to look at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inputs<'a> {
    /// The tree to read.
    pub root: &'a Root,
    /// The configuration's own servers, which come first.
    pub configured: &'a [Endpoint],
    /// Domains with servers of their own.
    pub routes: &'a [RouteSettings],
    /// The sources, in order of preference.
    pub sources: &'a [SourceName],
    /// Where Onward listens, or listened before: never an upstream.
    pub own: &'a [SocketAddr],
    /// The file that Onward writes: what stands there is never an upstream either.
    pub written: &'a Path,
}

/// What one look leaves to the next.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    preference: Preference,
    /// The cluster's DNS as it was last known: where it cannot be read, it is still that.
    cluster_dns: Vec<IpAddr>,
    /// The node's addresses as kubelet was last known to be told.
    node_ips: Vec<IpAddr>,
    /// Where Onward listened in an earlier life, for as long as it listens nowhere.
    own: Vec<SocketAddr>,
}

/// One server that something named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// The server.
    pub server: Server,
    /// The file that names it, or `configuration`.
    pub source: Arc<str>,
    /// The line in that file, from 1.
    pub line: Option<usize>,
    /// The name that its certificate must have, where one is given.
    pub tls_name: Option<Box<str>>,
    /// How it is spoken to.
    pub security: Security,
    /// Whether it is used.
    pub usage: Use,
    /// What a person should know of it.
    pub note: Option<String>,
}

/// Whether a candidate is used, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Use {
    /// It is asked.
    Used,
    /// It could be, but this other source has servers and comes first.
    Spare(Arc<str>),
    /// It is in the list already.
    Duplicate,
    /// It must not be asked.
    Refused(Refusal),
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Everything that was named, in order of preference.
    pub candidates: Vec<Candidate>,
    /// The servers in use and what named each, in order.
    pub servers: Vec<(Endpoint, Arc<str>)>,
    /// Domains with servers of their own.
    pub routes: Vec<FoundRoute>,
    /// The source in use.
    pub source: Option<Arc<str>>,
    /// Whether that source is empty now, so that these are its last good servers.
    pub kept: bool,
    /// When to look again although nothing changed.
    pub look_again: Option<Instant>,
    /// The search list.
    pub search: Vec<String>,
    /// The options.
    pub options: Vec<String>,
    /// In words: what was unwrapped, what is odd.
    pub notes: Vec<String>,
    /// In words: what could not be read, so that nobody takes it for none.
    pub unknown: Vec<String>,
    /// What the cluster's programs are told.
    pub kubelet: Kubelet,
    /// What the node's programs tell, whoever is asked.
    pub programs: Programs,
    /// Whether the node itself asks the servers in use, and nothing of what its programs do is lacking.
    pub standing: Standing,
    /// Whether what is asked is encrypted by the program that is asked.
    pub encrypts: bool,
}

impl Use {
    /// Why the candidate is not used, for people; nothing where it is.
    #[must_use]
    pub(crate) fn reason(&self) -> Option<String> {
        match self {
            Self::Used => None,
            Self::Spare(other) => Some(format!("not needed: {other} has servers and comes first")),
            Self::Duplicate => Some("already in the list".to_owned()),
            Self::Refused(refusal) => Some(refusal.to_string()),
        }
    }
}

impl Candidate {
    /// The server, and how it is spoken to.
    #[must_use]
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint { server: self.server.clone(), security: self.security.clone() }
    }
}

impl Found {
    /// Everything that was named, for whatever names.
    pub(crate) fn all_candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.candidates.iter().chain(self.routes.iter().flat_map(|route| &route.candidates))
    }

    /// What may be kept on disk: the list, where it is fresh.
    #[must_use]
    pub(crate) fn offer(&self) -> Option<Offer> {
        let name = self.source.clone().filter(|_| !self.kept)?;
        Some(Offer {
            name,
            servers: self.servers.clone(),
            search: self.search.clone(),
            options: self.options.clone(),
            encrypts: self.encrypts,
            standing: self.standing,
        })
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(HOLD)
    }
}

impl Memory {
    /// Remembers nothing yet. `hold` is the time for which a source that has fallen empty keeps its list.
    #[must_use]
    pub(crate) fn new(hold: Duration) -> Self {
        Self { preference: Preference::new(hold), cluster_dns: Vec::new(), node_ips: Vec::new(), own: Vec::new() }
    }

    /// Takes up what an earlier life left.
    pub(crate) fn resume(&mut self, last: LastGood) {
        self.preference.resume(last.offer);
        self.cluster_dns = last.cluster_dns;
        self.own = last.own;
    }

    /// Other sources are configured now. A list whose source is none of them is forgotten, and so is one that the
    /// configuration itself named.
    pub(crate) fn reconfigure(&mut self, hold: Duration, sources: &[SourceName]) {
        self.preference.reconfigure(hold, |name| sources.iter().any(|source| source.to_string() == name));
    }

    /// Takes what kubelet is told, and adds what it was told before where not all of that is known now.
    fn complete(&mut self, kubelet: &mut Kubelet) {
        if !kubelet.unknown.is_empty() {
            for address in &self.cluster_dns {
                if !kubelet.cluster_dns.contains(address) {
                    kubelet.cluster_dns.push(*address);
                }
            }
            if kubelet.node_ips.is_empty() {
                kubelet.node_ips.clone_from(&self.node_ips);
            }
        }
        self.cluster_dns.clone_from(&kubelet.cluster_dns);
        self.node_ips.clone_from(&kubelet.node_ips);
    }

    /// Where Onward listens, listened, or sends pods to.
    fn own(&mut self, listeners: &[SocketAddr], written: &[Listed]) -> Vec<SocketAddr> {
        if !listeners.is_empty() {
            self.own.clear();
        }
        let written = written.iter().map(|listed| SocketAddr::new(listed.server.ip(), DNS_PORT));
        listeners.iter().copied().chain(self.own.iter().copied()).chain(written).collect()
    }
}

/// One look by itself, with no memory of an earlier one.
#[must_use]
pub(crate) fn look(inputs: &Inputs<'_>) -> Found {
    look_again(inputs, &mut Memory::default(), crate::clock::now())
}

/// One look, with the choice depending on what was in use before.
pub(crate) fn look_again(inputs: &Inputs<'_>, memory: &mut Memory, now: Instant) -> Found {
    let mut kubelet = kubelet::read(inputs.root);
    memory.complete(&mut kubelet);
    let mut reader = Reader::new(inputs.root);
    let view = NodeView { written: inputs.written, sources: inputs.sources };
    let programs = Programs::read(&view, &mut reader);
    let own = memory.own(inputs.own, &programs.written);
    let cluster_dns = kubelet.never_asked();
    let rules = Rules { own: &own, cluster_dns: &cluster_dns };
    let mut offers = Vec::new();
    let mut candidates = Vec::new();
    if !inputs.configured.is_empty() {
        offers.push(vet(CONFIGURATION, configured(inputs.configured), &rules, &mut candidates));
    }
    for name in in_order(inputs.sources, &programs, &rules) {
        let mut reading = sources::read(name, &programs, &rules);
        std::mem::take(&mut reading.notes).into_iter().for_each(|note| reader.note(note));
        let is_bystander = governance::is_bystander(name, &programs, &rules);
        let is_worse = is_bystander || reading.is_degraded;
        let mut offer = vet(&name.to_string(), reading, &rules, &mut candidates);
        offer.standing = if is_worse { Standing::Worse } else { Standing::Full };
        if is_bystander && !offer.servers.is_empty() && !programs.host.servers().is_empty() {
            reader.note(format!("{name} does not govern /etc/resolv.conf, which names other servers: it comes last"));
        }
        offers.push(offer);
    }
    reader.unknown.extend(kubelet.unknown.iter().cloned());
    fill_from_the_host(&programs, &mut offers);
    let decision = memory.preference.update(&offers, now);
    let Reader { notes, unknown, .. } = reader;
    let routes = routes::vet(inputs.routes, &rules);
    let mut found = Found { routes, notes, unknown, programs, ..Found::default() };
    found.take_decision(decision, candidates, &rules);
    found.kubelet = kubelet;
    found
}

/// The sources in order of preference: those that the node itself does not ask come last.
fn in_order<'a>(sources: &'a [SourceName], programs: &Programs, rules: &Rules<'_>) -> Vec<&'a SourceName> {
    let mut sources: Vec<&SourceName> = sources.iter().collect();
    sources.sort_by_key(|name| governance::is_bystander(name, programs, rules));
    sources
}

/// What to watch: all files and directories that a look depends on, save in /proc.
#[must_use]
pub(crate) fn paths(inputs: &Inputs<'_>) -> Vec<PathBuf> {
    let mut paths = programs::paths(inputs.sources);
    paths.push(inputs.written.to_owned());
    paths.extend(kubelet::paths(inputs.root));
    paths.sort_unstable();
    paths.dedup();
    paths.iter().map(|path| inputs.root.path(path)).collect()
}

/// Judges a source's lists up to the first that has a usable server. Candidates go into `candidates`, with the offer's
/// name.
fn vet(name: &str, reading: Reading, rules: &Rules<'_>, candidates: &mut Vec<Judged>) -> Offer {
    let name: Arc<str> = name.into();
    let mut offer = Offer {
        name: Arc::clone(&name),
        search: reading.search,
        options: reading.options,
        encrypts: reading.encrypts,
        ..Offer::default()
    };
    for list in reading.lists {
        for listed in list {
            let judgement = listed.refusal.map_or_else(|| rules.vet(&listed.server), Err);
            let endpoint = listed.endpoint();
            let known = offer.servers.iter().any(|(one, _)| *one == endpoint);
            if judgement.is_ok() && !known {
                offer.servers.push((endpoint, Arc::clone(&listed.source)));
            }
            candidates.push(Judged { offer: Arc::clone(&name), listed, judgement, known });
        }
        if !offer.servers.is_empty() {
            break;
        }
    }
    offer
}

/// A candidate before it is known which source is in use.
struct Judged {
    offer: Arc<str>,
    listed: Listed,
    judgement: Result<(), Refusal>,
    known: bool,
}

fn configured(servers: &[Endpoint]) -> Reading {
    let source: Arc<str> = CONFIGURATION.into();
    Reading { lists: vec![servers.iter().map(|one| Listed::configured(one, &source)).collect()], ..Reading::default() }
}

/// Sources that carry no search list, or no options, have the host's.
fn fill_from_the_host(programs: &Programs, offers: &mut [Offer]) {
    // Our own file's list came from here.
    let Some(host) = programs.host.conf.known().filter(|_| !programs.host.is_ours) else { return };
    for offer in offers {
        if offer.search.is_empty() {
            offer.search.clone_from(&host.search);
        }
        if offer.options.is_empty() {
            offer.options = host.options.words();
        }
    }
}

impl Found {
    fn take_decision(&mut self, decision: Decision, candidates: Vec<Judged>, rules: &Rules<'_>) {
        let mut offer = decision.offer.unwrap_or_default();
        // A list that was kept may name what has become our own since.
        offer.servers.retain(|(endpoint, _)| rules.vet(&endpoint.server).is_ok());
        let fresh = !decision.kept && !offer.servers.is_empty();
        self.candidates = candidates
            .into_iter()
            .map(|judged| {
                let usage = match judged.judgement {
                    Err(refusal) => Use::Refused(refusal),
                    Ok(()) if judged.known => Use::Duplicate,
                    Ok(()) if fresh && judged.offer == offer.name => Use::Used,
                    Ok(()) => Use::Spare(Arc::clone(&offer.name)),
                };
                let Listed { server, source, line, tls_name, security, note, .. } = judged.listed;
                Candidate { server, source, line, tls_name, security, usage, note }
            })
            .collect();
        self.drop_second_sights();
        self.note_hidden_stubs();
        // `search .` says that there are no domains.
        self.search = offer.search.into_iter().filter(|name| name != ".").collect();
        self.options = offer.options;
        self.source = (!offer.servers.is_empty()).then_some(offer.name);
        self.servers = offer.servers;
        self.standing = offer.standing;
        self.encrypts = offer.encrypts;
        self.kept = decision.kept;
        self.look_again = decision.look_again;
    }

    /// Two sources may read the same line of the same file, as where a stub was unwrapped: that it is used is told
    /// once.
    fn drop_second_sights(&mut self) {
        let place = |candidate: &Candidate| (candidate.endpoint(), Arc::clone(&candidate.source), candidate.line);
        let used: Vec<_> = self.candidates.iter().filter(|one| one.usage == Use::Used).map(place).collect();
        self.candidates.retain(|one| one.usage == Use::Used || !used.contains(&place(one)));
    }

    /// A server on loopback that another source hides may have been put there to encrypt.
    fn note_hidden_stubs(&mut self) {
        for candidate in &self.candidates {
            let hidden = matches!(candidate.usage, Use::Spare(_)) && candidate.server.ip().to_canonical().is_loopback();
            if hidden && candidate.note.is_none() {
                self.notes.push(format!(
                    "{} names {}, which is not asked; if it is there to encrypt or to route domains, put it into `upstreams.servers`",
                    candidate.source, candidate.server
                ));
            }
        }
    }
}
