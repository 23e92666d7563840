//! The running service: wires the house up in the order of the picture, and keeps it in line with the node.
//!
//! One loop owns everything that changes: it hears of changed addresses, changed sources and signals, and brings listeners,
//! allow-list, upstreams and the file for kubelet in line with them. What each of those is, the folders know; here stands
//! only what follows from what.

mod announce;
mod listening;
mod notify;
mod outages;
mod signals;
mod upstreams;
mod workers;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use crate::admit::acl::{AllowList, Allowed};
use crate::cache::Cache;
use crate::clock;
use crate::config::{self, Overrides, Settings};
use crate::discovery::kubelet::Kubelet;
use crate::failure::Failure;
use crate::forwarder::{Event, Shared};
use crate::guard::Guard;
use crate::kubelet_resolv_conf;
use crate::logging;
use crate::net::bind::BindError;
use crate::node_address::choose::Told;
use crate::node_address::{self, Bell, Chosen, NoAddress, Tables, Wanted};
use crate::server::clients::Clients;
use crate::server::mailbox::Mailboxes;
use crate::server::notice::Notice;
use crate::server::queries::Queries;
use crate::upstream::Upstream;
use crate::waiters::Waiters;
use listening::Listening;
use outages::{Line, Outages};
use signals::{Signals, Wish};
use upstreams::Upstreams;
use workers::{Ends, Workers};

/// systemd is told that we are ready after this even if the node has no address yet, so that the boot goes on.
const READY_AT_LAST: Duration = Duration::from_secs(20);
/// How long a default route is waited for that would tell which address is the node's.
const SETTLING: Duration = Duration::from_secs(5);
/// What could not be done now (a port that was taken, a full disk) is tried again this often.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Everything that is running.
struct Service {
    settings: Settings,
    overrides: Overrides,
    shared: Arc<Shared>,
    mailboxes: Mailboxes,
    workers: Workers,
    listening: Listening,
    upstreams: Upstreams,
    /// News of the workers.
    notices: mpsc::UnboundedReceiver<Notice>,
    outages: Outages,
    /// The node's addresses.
    addresses: Vec<IpAddr>,
    /// What we listen on by choice, as last chosen.
    chosen: Chosen,
    file: announce::File,
    ready: bool,
    waiting: Option<NoAddress>,
    try_again: bool,
}

/// Serves until a signal ends it.
///
/// # Errors
/// Where it cannot begin: no permission, a port that is taken, no threads; or where a listener breaks.
pub async fn serve(settings: Settings, overrides: Overrides) -> Result<(), Failure> {
    let mut signals = Signals::catch().map_err(|error| Failure::System(format!("cannot catch signals: {error}")))?;
    let mut bell = Bell::hang().map_err(|error| Failure::System(format!("cannot hear of addresses: {error}")))?;
    let mut service = Service::build(settings, overrides)?;
    service.look_for_upstreams();
    tokio::select! {
        () = service.let_addresses_settle(&mut bell) => {}
        () = signals.end() => return Ok(()),
    }
    service.follow_addresses(true)?;
    let patience = tokio::time::sleep(READY_AT_LAST);
    tokio::pin!(patience);
    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Reload => service.reload(),
                Wish::End => break,
            },
            rung = bell.rung() => {
                rung.map_err(|error| Failure::System(format!("cannot hear of addresses: {error}")))?;
                service.follow_addresses(false)?;
                service.mailboxes.tell_all(|| Event::RenewSockets);
            }
            Some(Notice::HealthChanged) = service.notices.recv() => service.look_at_health().await,
            () = service.upstreams.changed() => service.look_for_upstreams(),
            () = tokio::time::sleep(TRY_AGAIN), if service.try_again => service.follow_addresses(false)?,
            () = &mut patience, if !service.ready => service.ready_at_last(),
            error = service.listening.broken() => {
                return Err(Failure::System(format!("a TCP listener has failed: {error}")));
            }
        }
    }
    service.end(signals).await;
    Ok(())
}

impl Service {
    /// Cache, flights, workers: all that needs no address.
    fn build(settings: Settings, overrides: Overrides) -> Result<Self, Failure> {
        let system = |what: &str, error: std::io::Error| Failure::System(format!("cannot start {what}: {error}"));
        let mailboxes = workers::mailboxes(&settings).map_err(|error| system("the workers", error))?;
        let (mailboxes, inboxes): (Vec<_>, Vec<_>) = mailboxes.into_iter().unzip();
        let mailboxes = Mailboxes::new(mailboxes);
        let addresses = node_address::netlink::read().map(|tables| addresses(&tables)).unwrap_or_default();
        let (guard, judge) = Guard::new(settings.guard, &addresses);
        let told = mailboxes.clone();
        tokio::spawn(judge.run(move || told.tell_all(|| Event::Guidance)));
        let shared = Arc::new(Shared {
            cache: Cache::new((&settings.cache).into()),
            waiters: Waiters::new(settings.limits.misses, settings.limits.waiters),
            allow: ArcSwap::from_pointee(AllowList::compile(&Allowed::default(), &Tables::default())),
            set: ArcSwap::default(),
            guard,
            payload: settings.limits.udp_payload,
            started: clock::now(),
        });
        let clients = Arc::new(Clients::default());
        let (told, notices) = mpsc::unbounded_channel();
        let ends = Ends { mailboxes: mailboxes.clone(), clients: Arc::clone(&clients), notices: told };
        let workers =
            Workers::start(&settings, &shared, inboxes, &ends).map_err(|error| system("the workers", error))?;
        let queries = Queries::new(Arc::clone(&shared), mailboxes.clone(), clients);
        let listening = Listening::new(mailboxes.clone(), queries, settings.limits.tcp);
        Ok(Self {
            upstreams: Upstreams::new(&settings)?,
            notices,
            outages: Outages::default(),
            settings,
            overrides,
            shared,
            mailboxes,
            workers,
            listening,
            addresses,
            chosen: Chosen::default(),
            file: announce::File::default(),
            ready: false,
            waiting: None,
            try_again: false,
        })
    }

    /// At boot the default route may be seconds away, and with it a better address than the one there is: pods keep for
    /// life the one that they are told, so that is worth a little time.
    async fn let_addresses_settle(&self, bell: &mut Bell) {
        let settled = async {
            loop {
                let tables = node_address::netlink::read();
                let chosen = tables.ok().and_then(|tables| node_address::choose(&self.wanted(), &tables).ok());
                if chosen.is_none_or(|chosen| chosen.awaited.is_none()) || bell.rung().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(SETTLING, settled).await.is_err() {
            log::info!("no default route after {} s; going by the addresses that there are", SETTLING.as_secs());
        }
    }

    /// Reads addresses and routes anew, and brings listeners, allow-list and what hangs on them in line.
    fn follow_addresses(&mut self, first: bool) -> Result<(), Failure> {
        let tables = match node_address::netlink::read() {
            Ok(tables) => tables,
            Err(error) if first => return Err(Failure::System(format!("cannot read addresses and routes: {error}"))),
            Err(error) => {
                log::warn!(error:%; "cannot read addresses and routes; all stays as it is");
                self.try_again = true;
                return Ok(());
            }
        };
        self.try_again = false;
        let ours = addresses(&tables);
        if ours != self.addresses {
            self.shared.guard.addresses_changed(&ours);
            self.mailboxes.tell_all(|| Event::Guidance);
            self.addresses = ours;
        }
        self.shared.allow.store(Arc::new(AllowList::compile(&self.settings.allow.iter().collect(), &tables)));
        self.mailboxes.tell_all(|| Event::AllowList);
        let chosen = match node_address::choose(&self.wanted(), &tables) {
            Ok(chosen) => chosen,
            Err(reason) => return self.without_address(reason, &tables, first),
        };
        for warning in chosen.warnings.iter().filter(|warning| !self.chosen.warnings.contains(warning)) {
            log::warn!("{warning}");
        }
        for missing in chosen.missing.iter().filter(|missing| !self.chosen.missing.contains(missing)) {
            log::warn!("{missing}");
        }
        self.waiting = None;
        let (changes, errors) = self.listening.follow(&chosen, &tables);
        announce::listening(&changes);
        self.chosen = chosen;
        self.tell_errors(errors, first)?;
        if changes != listening::Changes::default() {
            self.look_for_upstreams(); // what we listen on is no upstream
        }
        if !changes.opened.is_empty() {
            // A probe comes home only where somebody listens, so the guard begins here; and a new address may close a loop.
            self.shared.guard.set_changed(self.shared.set.load_full());
        }
        self.write_file();
        Ok(())
    }

    /// The node has no address to listen on. That may change; what is listened on already stays.
    fn without_address(&mut self, reason: NoAddress, tables: &Tables, first: bool) -> Result<(), Failure> {
        if first && !reason.may_come() {
            return Err(Failure::System(reason.to_string()));
        }
        // Those that are gone from the node are closed all the same.
        let (changes, _) = self.listening.follow(&Chosen::default(), tables);
        announce::listening(&changes);
        self.chosen = Chosen::default();
        if self.waiting.as_ref() != Some(&reason) {
            log::warn!("{reason}");
            notify::status(&reason.to_string());
        }
        self.waiting = Some(reason);
        Ok(())
    }

    /// At start an address that cannot be listened on ends the program; later it is tried again.
    fn tell_errors(&mut self, errors: Vec<BindError>, first: bool) -> Result<(), Failure> {
        for error in errors {
            match error {
                BindError::NotPermitted { .. } if first => return Err(Failure::Permission(error.to_string())),
                _ if first => return Err(Failure::System(error.to_string())),
                _ if !self.try_again => log::error!("{error}; trying again every {} s", TRY_AGAIN.as_secs()),
                _ => {}
            }
            self.try_again = true;
        }
        Ok(())
    }

    /// Looks at the sources, and gives the engines the servers that are to be used now.
    fn look_for_upstreams(&mut self) {
        let own: Vec<SocketAddr> = self.listening.addresses().collect();
        if let Some(set) = self.upstreams.look(&own, clock::now()) {
            self.shared.adopt(&set, clock::now());
            if !own.is_empty() {
                self.shared.guard.set_changed(Arc::clone(&set));
            }
            self.mailboxes.tell_all(|| Event::Upstreams(Arc::clone(&set)));
            self.shared.guard.tell_what_holds(&set, clock::now());
        }
        self.write_file();
    }

    /// Writes the file for kubelet once a listener answers, and says that we are ready.
    fn write_file(&mut self) {
        if self.waiting.is_some() || self.chosen.addresses.is_empty() {
            return;
        }
        let settings = &self.settings.resolv_conf;
        let found = kubelet_resolv_conf::Found { search: self.upstreams.search(), options: self.upstreams.options() };
        if !self.file.write(settings, &self.chosen, found) {
            self.try_again = true;
        }
        let status = self.status();
        if self.ready {
            notify::status(&status);
        } else {
            self.ready = true;
            notify::ready(&status);
        }
    }

    fn ready_at_last(&mut self) {
        self.ready = true;
        let why = self.waiting.as_ref().map_or_else(String::new, ToString::to_string);
        log::warn!("ready without an address to listen on: {why}");
        notify::ready(&format!("degraded: {why}"));
    }

    /// Asks the workers which upstreams do not answer, and tells people and systemd what has changed.
    async fn look_at_health(&mut self) {
        let set = self.shared.set.load_full();
        let lines = self.outages.learn(&set, &Workers::report(&self.mailboxes).await);
        if lines.is_empty() {
            return;
        }
        for Line { level, event, upstream, text } in &lines {
            match upstream {
                Some(upstream) => log::log!(*level, event = *event, upstream:%; "{text}"),
                None => log::log!(*level, event = *event; "{text}"),
            }
        }
        if self.ready {
            notify::status(&self.status());
        }
    }

    fn status(&self) -> String {
        let listening: Vec<_> = self.chosen.addresses.iter().map(|address| address.socket.to_string()).collect();
        let set = self.shared.set.load();
        let shown = |upstream: &Arc<Upstream>| match self.outages.is_down(upstream.id) {
            true => format!("{} (down)", upstream.server),
            false => upstream.server.to_string(),
        };
        let upstreams: Vec<_> = set.upstreams.iter().map(shown).collect();
        let all_down = !upstreams.is_empty() && set.upstreams.iter().all(|one| self.outages.is_down(one.id));
        let trouble = if all_down { "degraded: no upstream answers; " } else { "" };
        let upstreams = if upstreams.is_empty() { "no upstream known".to_owned() } else { upstreams.join(", ") };
        format!("{trouble}{} → {upstreams}", listening.join(", "))
    }

    /// Reads the configuration anew. One with faults changes nothing.
    fn reload(&mut self) {
        notify::reloading();
        match config::load(&self.overrides) {
            Ok(loaded) => {
                loaded.log_remarks();
                self.apply(loaded.settings);
            }
            Err(faults) => {
                for fault in faults.as_slice() {
                    log::error!("{fault}");
                }
                log::error!("the configuration has faults; running on with the one before");
            }
        }
        if self.ready {
            notify::ready(&self.status());
        }
    }

    fn apply(&mut self, settings: Settings) {
        logging::set_level(settings.log.level);
        let fixed = |settings: &Settings| {
            let Settings { cache, limits, guard, workers, state_dir, .. } = settings.clone();
            (cache, limits, guard, workers, state_dir)
        };
        if fixed(&settings) != fixed(&self.settings) {
            log::warn!("changes of [cache], [limits], [guard], workers and state_dir take effect at the next restart");
        }
        match self.upstreams.reload(&settings) {
            Ok(()) => self.settings = settings,
            Err(failure) => log::error!("{failure}; running on with the configuration before"),
        }
        self.file = announce::File::default();
        let before = self.shared.set.load_full();
        self.look_for_upstreams();
        let set = self.shared.set.load_full();
        if Arc::ptr_eq(&before, &set) {
            self.shared.guard.tell_what_holds(&set, clock::now()); // whoever reloads wants to see how things are
        }
        if let Err(failure) = self.follow_addresses(false) {
            log::error!("{failure}");
        }
        log::info!("configuration and sources read anew");
    }

    /// Finishes what is in flight; a second signal ends at once.
    async fn end(self, mut signals: Signals) {
        notify::stopping();
        log::info!("ending: finishing {} questions in flight", self.shared.waiters.len());
        let (listening, workers) = (self.listening, self.workers);
        let drained = async {
            listening.drain(clock::now()).await;
            let _ = tokio::task::spawn_blocking(|| workers.join()).await;
        };
        tokio::select! {
            () = drained => {}
            () = signals.end() => log::warn!("ended at once by a second signal"),
        }
    }

    fn wanted(&self) -> Wanted {
        let previous = self.chosen.addresses.iter().map(|address| address.socket.ip()).collect();
        wanted(&self.settings, self.upstreams.kubelet(), previous)
    }
}

/// What is wanted of [`node_address::choose()`]; `previous` are the addresses listened on already.
#[must_use]
pub fn wanted(settings: &Settings, kubelet: &Kubelet, handed_out: Vec<IpAddr>) -> Wanted {
    Wanted {
        places: settings.listen.clone(),
        families: settings.families,
        node_ip: settings.node_ip.clone(),
        told: Told { node_ip: kubelet.node_ips.clone(), cluster_dns: kubelet.cluster_dns.clone() },
        handed_out,
        families_stick: false,
    }
}

/// The node's addresses, in an order that does not change by itself.
fn addresses(tables: &Tables) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = tables.addresses.iter().map(|address| address.ip).collect();
    addresses.sort_unstable();
    addresses
}
