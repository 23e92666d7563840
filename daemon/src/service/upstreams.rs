//! Follows discovery: what is found becomes the set that is asked, is kept on disk, and is told to people.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::desk::List;
use super::state::RETRY;
use crate::clock;
use crate::config::Settings;
use crate::control::status::Refused;
use crate::discovery::kubelet::Kubelet;
use crate::discovery::last_good::LastGood;
use crate::discovery::watch::ChangeWatch;
use crate::discovery::{Found, Inputs, Memory, Root, Use, look_again, paths};
use crate::exchange::stream::tls::Mode;
use crate::failure::Failure;
use crate::logging::LogEvent;
use crate::upstream::set::UpstreamIds;
use crate::upstream::{Endpoint, Route, UpstreamSet};
use crate::wire::name;
use crate::wire::query::shown;

/// Lines that are remembered as told; past that all may be told again.
const TOLD_MOST: usize = 1024;

/// The upstreams as they are found.
#[derive(Debug)]
pub(super) struct Upstreams {
    root: Root,
    settings: Settings,
    memory: Memory,
    /// What is on disk.
    kept: Option<LastGood>,
    watch: ChangeWatch,
    found: Found,
    numbers: UpstreamIds,
    set: Option<Arc<UpstreamSet>>,
    /// When that became the set in use.
    since: Option<Instant>,
    /// When a source named the list last.
    named: Option<SystemTime>,
    told: HashSet<String>,
    /// When the list is to be kept again that could not be brought to disk.
    keep_again: Option<Instant>,
}

impl Upstreams {
    /// Begins to watch the sources; takes up the list that was last good, if there is one.
    pub(super) fn new(settings: &Settings) -> Result<Self, Failure> {
        let root = Root::machine();
        let mut memory = Memory::new(settings.upstreams.hold);
        let kept = LastGood::load(&settings.state_dir, &root).unwrap_or_else(|why| {
            log::warn!(event = LogEvent::LastGoodUnusable, why:%; "the upstreams kept in {} are not used: {why}", settings.state_dir.display());
            None
        });
        if let Some(last) = &kept {
            memory.resume(last.clone());
        }
        Ok(Self {
            watch: watch(&root, settings)?,
            named: kept.as_ref().map(|kept| kept.at),
            since: None,
            root,
            settings: settings.clone(),
            memory,
            kept,
            found: Found::default(),
            numbers: UpstreamIds::default(),
            set: None,
            told: HashSet::new(),
            keep_again: None,
        })
    }

    /// Other settings hold from now on.
    pub(super) fn reload(&mut self, settings: &Settings) -> Result<(), Failure> {
        self.watch = watch(&self.root, settings)?;
        if settings.upstreams != self.settings.upstreams {
            self.memory.reconfigure(settings.upstreams.hold, &settings.upstreams.sources);
        }
        self.settings = settings.clone();
        self.told.clear();
        Ok(())
    }

    /// Waits until there may be news.
    pub(super) async fn changed(&mut self) {
        let again = [self.found.look_again, self.keep_again].into_iter().flatten().min();
        tokio::select! {
            () = self.watch.changed() => {}
            () = clock::reached(again) => {}
        }
    }

    /// Looks at the sources; `own` are our listeners. Returns the set where it is another one.
    pub(super) fn look(&mut self, own: &[SocketAddr], now: Instant) -> Option<Arc<UpstreamSet>> {
        let found = look_again(&inputs(&self.root, &self.settings, own), &mut self.memory, now);
        self.tell_of_candidates(&found);
        if self.keep(&found, own) {
            self.keep_again = None;
        } else {
            self.keep_again = Some(now + RETRY);
        }
        let set = set(&found, &self.settings, &mut self.numbers);
        if !found.kept && !found.servers.is_empty() {
            self.named = Some(clock::wall());
        }
        self.found = found;
        if self.set.as_deref() == Some(&set) {
            return None;
        }
        tell_of_set(&set, &self.found);
        let set = Arc::new(set);
        self.set = Some(Arc::clone(&set));
        self.since = Some(now);
        Some(set)
    }

    /// Keeps a fresh list on disk, for a start at which no source has one; never a worse one than is there. Before
    /// there is a listener some of what is found may be Onward itself, so nothing is kept then. Returns whether that is
    /// done, or need not be.
    fn keep(&mut self, found: &Found, own: &[SocketAddr]) -> bool {
        let Some(offer) = found.offer() else { return true };
        let cluster_dns = found.kubelet.cluster_dns.clone();
        let now = LastGood { offer, at: clock::wall(), own: own.to_vec(), cluster_dns };
        let is_news = !self.kept.as_ref().is_some_and(|kept| kept.tells_the_same(&now));
        if own.is_empty() || !is_news || !now.may_replace(self.kept.as_ref()) {
            return true;
        }
        if let Err(error) = now.save(&self.settings.state_dir, &self.root) {
            let directory = self.settings.state_dir.display();
            if self.keep_again.is_none() {
                log::warn!(
                    event = LogEvent::LastGoodUnsaved, error:%;
                    "the upstreams cannot be kept in {directory} ({error}); a start without network will know none; trying \
                     again every {} s",
                    RETRY.as_secs()
                );
            }
            return false;
        }
        self.kept = Some(now);
        true
    }

    /// Tells what is refused and what is odd, each once.
    fn tell_of_candidates(&mut self, found: &Found) {
        if self.told.len() > TOLD_MOST {
            self.told.clear();
        }
        for candidate in found.all_candidates() {
            let Use::Refused(refusal) = &candidate.usage else { continue };
            let line = candidate.line.map(|line| format!(":{line}")).unwrap_or_default();
            let (server, source) = (candidate.endpoint(), &candidate.source);
            if self.told.insert(format!("{server} {source} {refusal}")) {
                log::warn!(event = LogEvent::UpstreamRefused, upstream:% = server, source:%, reason:% = refusal; "not asking {server} of {source}{line}: {refusal}");
            }
        }
        for note in &found.notes {
            if self.told.insert(note.clone()) {
                log::info!(event = LogEvent::SourceNote; "{note}");
            }
        }
        for unknown in &found.unknown {
            if self.told.insert(unknown.clone()) {
                log::info!(event = LogEvent::SourceUnknown; "not known: {unknown}");
            }
        }
    }

    /// Tells of the list: what gave it and when, what was found and is not asked, what is odd.
    pub(super) fn list(&self) -> List {
        let found = &self.found;
        let refused = found.all_candidates().filter_map(|candidate| {
            Some(Refused {
                server: candidate.endpoint().to_string(),
                source: candidate.source.to_string(),
                line: candidate.line.and_then(|line| u64::try_from(line).ok()),
                reason: candidate.usage.reason()?,
            })
        });
        List {
            source: found.source.as_deref().map(str::to_owned),
            kept: found.kept,
            since: self.since,
            named: self.named,
            refused: refused.collect(),
            notes: found.notes.iter().chain(&found.unknown).cloned().collect(),
        }
    }

    /// The search list that was found.
    pub(super) fn search(&self) -> &[String] {
        &self.found.search
    }

    /// The resolver options that were found.
    pub(super) fn options(&self) -> &[String] {
        &self.found.options
    }

    /// What kubelet is told, as far as it could be read.
    pub(super) fn kubelet(&self) -> &Kubelet {
        &self.found.kubelet
    }
}

fn inputs<'a>(root: &'a Root, settings: &'a Settings, own: &'a [SocketAddr]) -> Inputs<'a> {
    Inputs {
        root,
        configured: &settings.upstreams.servers,
        routes: &settings.routes,
        sources: &settings.upstreams.sources,
        own,
        written: &settings.resolv_conf.path,
    }
}

/// The set that is asked: the list that was found for all names, and the routes.
fn set(found: &Found, settings: &Settings, ids: &mut UpstreamIds) -> UpstreamSet {
    let mut route = |suffix: &[u8], servers: Vec<(Endpoint, Arc<str>)>, equivalent| {
        let (servers, in_plain) = match settings.tls.mode {
            Mode::Strict => (servers, Vec::new()),
            Mode::Opportunistic => opportunistic(servers),
        };
        // In plain text is asked where TLS fails, not where it is slow.
        let equivalent = if in_plain.is_empty() { equivalent } else { Some(false) };
        Route::new(suffix, servers.into_iter().chain(in_plain).collect(), equivalent, ids)
    };
    let mut routes = vec![route(name::ROOT, found.servers.clone(), settings.upstreams.equivalent)];
    for one in &found.routes {
        routes.extend(one.domains.iter().map(|domain| route(domain.wire(), one.servers().collect(), one.equivalent)));
    }
    UpstreamSet::of_routes(routes)
}

/// A server, and what named it.
type Named = (Endpoint, Arc<str>);

/// The same servers with TLS that verifies nothing, and those that are asked in plain text where that fails.
fn opportunistic(servers: Vec<Named>) -> (Vec<Named>, Vec<Named>) {
    let mut in_plain = Vec::new();
    let servers = servers.into_iter().map(|(endpoint, source)| match endpoint.opportunistic() {
        Some((tls, plain)) => {
            in_plain.push((plain, Arc::clone(&source)));
            (tls, source)
        }
        None => (endpoint, source),
    });
    (servers.collect(), in_plain)
}

fn watch(root: &Root, settings: &Settings) -> Result<ChangeWatch, Failure> {
    ChangeWatch::subscribe(paths(&inputs(root, settings, &[])))
        .map_err(|error| Failure::System(format!("cannot watch the files that name upstreams: {error}")))
}

fn tell_of_set(set: &UpstreamSet, found: &Found) {
    for upstream in &set.upstreams {
        let (server, source) = (&upstream.endpoint, &upstream.source);
        let names = set.names(upstream.id);
        let for_names = if names.is_empty() { String::new() } else { format!(", for {}", names.join(", ")) };
        log::info!(event = LogEvent::UpstreamInUse, upstream:% = server, source:%; "asking {server}, from {source}{for_names}");
    }
    for route in set.routes().iter().filter(|route| !route.is_root() && route.upstreams.is_empty()) {
        let name = shown(&route.suffix);
        log::warn!(event = LogEvent::NoUpstream, name:%; "no server of the route for {name} may be asked: names under it get SERVFAIL; see `onward discover`");
    }
    if set.root().is_empty() {
        log::warn!(
            event = LogEvent::NoUpstream; "no upstream server found: questions get SERVFAIL until a source names one; `onward discover` shows where was \
             looked, `upstreams.servers` of the configuration names one by hand"
        );
    }
    if found.kept {
        let source = found.source.as_deref().unwrap_or("the last source");
        log::warn!(event = LogEvent::SourceEmpty, source; "{source} names no server now; its last good list stays");
    }
}
