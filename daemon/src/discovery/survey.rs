//! One look at everything: sources are read, each candidate vetted, a list chosen, and all of it told.
//!
//! Reading is the only I/O here. The rules are in `vet`, the choice is in `preference`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::kubelet::{self, Kubelet};
use super::preference::{Decision, Offer, Preference};
use super::resolv_conf;
use super::root::Root;
use super::sources::{Listed, Reading, SourceName, file};
use super::unwrap;
use super::vet::{Refusal, Rules};
use crate::upstream::Server;

/// The name of the source that is the configuration's own list.
pub const CONFIGURATION: &str = "configuration";

/// What to look at.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// The tree to read.
    pub root: &'a Root,
    /// The configuration's own servers, which come first.
    pub configured: &'a [Server],
    /// The sources, in order of preference.
    pub sources: &'a [SourceName],
    /// Where Onward listens, or listened before: never an upstream.
    pub own: &'a [SocketAddr],
}

/// One server that something named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The server.
    pub server: Server,
    /// The file that names it, or `configuration`.
    pub source: Arc<str>,
    /// The line in that file, from 1.
    pub line: Option<usize>,
    /// Whether it is used.
    pub verdict: Verdict,
    /// What a person should know of it.
    pub note: Option<String>,
}

/// Whether a candidate is used, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
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
pub struct Found {
    /// Everything that was named, in order of preference.
    pub candidates: Vec<Candidate>,
    /// The servers in use and what named each, in order.
    pub servers: Vec<(Server, Arc<str>)>,
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
}

impl Verdict {
    /// Why the candidate is not used, for people; nothing where it is.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Used => None,
            Self::Spare(other) => Some(format!("not needed: {other} has servers and comes first")),
            Self::Duplicate => Some("already in the list".to_owned()),
            Self::Refused(refusal) => Some(refusal.to_string()),
        }
    }
}

impl Found {
    /// Whether the same servers are in use, in whatever order: then there is no news.
    #[must_use]
    pub fn has_same_servers(&self, other: &Self) -> bool {
        let within = |one: &Self, other: &Self| one.servers.iter().all(|server| other.servers.contains(server));
        self.source == other.source && within(self, other) && within(other, self)
    }

    /// What may be kept on disk: the list, where it is fresh.
    #[must_use]
    pub fn offer(&self) -> Option<Offer> {
        let name = self.source.clone().filter(|_| !self.kept)?;
        Some(Offer { name, servers: self.servers.clone(), search: self.search.clone(), options: self.options.clone() })
    }
}

/// One look by itself, with no memory of an earlier one.
#[must_use]
pub fn look(inputs: &Inputs<'_>) -> Found {
    look_again(inputs, &mut Preference::default(), crate::clock::now())
}

/// One look, with the choice depending on what was in use before.
pub fn look_again(inputs: &Inputs<'_>, preference: &mut Preference, now: Instant) -> Found {
    let kubelet = kubelet::read(inputs.root);
    let rules = Rules { own: inputs.own, cluster_dns: &kubelet.cluster_dns };
    let mut told = Reading::default();
    let mut offers = Vec::new();
    let mut candidates = Vec::new();
    if !inputs.configured.is_empty() {
        let reading = configured(inputs.configured);
        offers.push(vet(CONFIGURATION, reading, &rules, &mut candidates));
    }
    for name in inputs.sources {
        let mut reading = name.source().read(inputs.root);
        told.take_words(&mut reading);
        offers.push(vet(&name.to_string(), reading, &rules, &mut candidates));
    }
    told.unknown.extend(kubelet.unknown.iter().cloned());
    fill_from_the_host(inputs.root, &mut offers);
    let decision = preference.update(&offers, now);
    let mut found = Found { notes: told.notes, unknown: told.unknown, kubelet, ..Found::default() };
    found.take_decision(decision, candidates);
    found
}

/// What to watch: all files and directories that a look depends on, save in /proc.
#[must_use]
pub fn paths(inputs: &Inputs<'_>) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = inputs.sources.iter().flat_map(|name| name.source().paths()).collect();
    // Search list and options fall back on the host's file, whatever the sources.
    paths.push(file::ETC.into());
    paths.extend(unwrap::paths());
    paths.extend(kubelet::paths(inputs.root));
    paths.sort_unstable();
    paths.dedup();
    paths.iter().map(|path| inputs.root.path(path)).collect()
}

/// Judges a source's lists up to the first that has a usable server. Candidates go into `candidates`, with the offer's name.
fn vet(name: &str, reading: Reading, rules: &Rules<'_>, candidates: &mut Vec<Judged>) -> Offer {
    let name: Arc<str> = name.into();
    let mut offer =
        Offer { name: Arc::clone(&name), search: reading.search, options: reading.options, ..Offer::default() };
    for list in reading.lists {
        for listed in list {
            let judgement = rules.vet(&listed.server);
            let known = offer.servers.iter().any(|(server, _)| *server == listed.server);
            if judgement.is_ok() && !known {
                offer.servers.push((listed.server.clone(), Arc::clone(&listed.source)));
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

fn configured(servers: &[Server]) -> Reading {
    let source: Arc<str> = CONFIGURATION.into();
    let listed =
        |server: &Server| Listed { server: server.clone(), source: Arc::clone(&source), line: None, note: None };
    Reading { lists: vec![servers.iter().map(listed).collect()], ..Reading::default() }
}

/// Sources that carry no search list, or no options, have the host's.
fn fill_from_the_host(root: &Root, offers: &mut [Offer]) {
    let content = root.read(file::ETC).ok().flatten().unwrap_or_default();
    let host = resolv_conf::parse(&content);
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
    fn take_decision(&mut self, decision: Decision, candidates: Vec<Judged>) {
        let offer = decision.offer.unwrap_or_default();
        let fresh = !decision.kept && !offer.servers.is_empty();
        self.candidates = candidates
            .into_iter()
            .map(|judged| {
                let verdict = match judged.judgement {
                    Err(refusal) => Verdict::Refused(refusal),
                    Ok(()) if judged.known => Verdict::Duplicate,
                    Ok(()) if fresh && judged.offer == offer.name => Verdict::Used,
                    Ok(()) => Verdict::Spare(Arc::clone(&offer.name)),
                };
                let Listed { server, source, line, note } = judged.listed;
                Candidate { server, source, line, verdict, note }
            })
            .collect();
        self.drop_second_sights();
        self.note_hidden_stubs();
        // `search .` says that there are no domains.
        self.search = offer.search.into_iter().filter(|name| name != ".").collect();
        self.options = offer.options;
        self.source = (!offer.servers.is_empty()).then_some(offer.name);
        self.servers = offer.servers;
        self.kept = decision.kept;
        self.look_again = decision.look_again;
    }

    /// Two sources may read the same line of the same file, as where a stub was unwrapped: that it is used is told once.
    fn drop_second_sights(&mut self) {
        let place = |candidate: &Candidate| (candidate.server.clone(), Arc::clone(&candidate.source), candidate.line);
        let used: Vec<_> = self.candidates.iter().filter(|one| one.verdict == Verdict::Used).map(place).collect();
        self.candidates.retain(|one| one.verdict == Verdict::Used || !used.contains(&place(one)));
    }

    /// A server on loopback that another source hides may have been put there to encrypt.
    fn note_hidden_stubs(&mut self) {
        for candidate in &self.candidates {
            let hidden =
                matches!(candidate.verdict, Verdict::Spare(_)) && candidate.server.ip().to_canonical().is_loopback();
            if hidden && candidate.note.is_none() {
                self.notes.push(format!(
                    "{} names {}, which is not asked; if it is there to encrypt or to route domains, put it into `upstreams.servers`",
                    candidate.source, candidate.server
                ));
            }
        }
    }
}
