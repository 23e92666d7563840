//! The running service: wires the house up in the order of the picture, and keeps it in line with the node.
//!
//! ```text
//! observe: addresses, sources, file ─► plan (pure) ─► apply, one change after the other ─► observe again
//! ```
//!
//! One loop hears of changed addresses, changed sources, a changed file and signals. What is to be done follows from
//! `plan` alone, with what the service knows of its own doing, its `State`.

mod apply;
mod build;
mod change;
mod check;
mod desk;
mod ending;
mod explain;
pub(crate) mod handed_out;
mod listening;
mod local_names;
mod metrics_report;
mod notify;
mod outages;
mod plan;
mod proven;
mod reload;
mod signals;
mod state;
mod status_report;
mod upstreams;
mod warm_cache;
mod watchdog;
mod watching;
mod workers;

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use crate::admit::acl::AllowList;
use crate::clock;
use crate::config::{Loaded, Overrides, Settings};
use crate::control::server::ControlSocket;
use crate::discovery::kubelet::Kubelet;
use crate::discovery::watch::ChangeWatch;
use crate::exchange::stream::Streams;
use crate::failure::Failure;
use crate::forwarder::{Event, Shared};
use crate::handover::store::Inherited;
use crate::kubelet_resolv_conf;
use crate::logging::LogEvent;
use crate::metrics::endpoint::Endpoint;
use crate::node_address::choose::Told;
use crate::node_address::{self, Bell, Tables, Wanted};
use crate::server::mailbox::Mailboxes;
use crate::server::notice::{Notice, WorkerReport};
use desk::{Desk, Known};
use listening::Listening;
use local_names::Names;
use outages::Outages;
use plan::status::troubles;
use plan::{Observed, UpstreamState, plan};
use proven::Proving;
use signals::{Signals, Wish};
use state::{Phase, State};
use upstreams::Upstreams;
use workers::Workers;

/// Maximum number of plans that are carried out in a row; four lead from nothing to ready.
const ROUNDS: usize = 16;
/// Time until the service looks again where it cannot tell when something will change.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Time within which a worker tells which upstreams do not answer.
const REPORT: Duration = Duration::from_secs(1);

/// Time for which this program runs in the place of another one that does not come up: a little longer than the hour
/// for which `systemd/attend` does not try that.
const STANDS_IN: Duration = Duration::from_secs(61 * 60);

/// Which configuration a service begins with.
#[derive(Debug)]
pub(crate) enum InForce {
    /// The one that the administrator wants.
    Wanted,
    /// The one that worked last, since the wanted one has faults; with what the status is to say.
    LastGood(String),
}

/// Everything that is running.
struct Service {
    settings: Settings,
    overrides: Overrides,
    shared: Arc<Shared>,
    mailboxes: Mailboxes,
    streams: Arc<Streams>,
    workers: Workers,
    /// Who tells how things are.
    desk: Arc<Desk>,
    control: Option<ControlSocket>,
    metrics: Option<Endpoint>,
    /// Who may have metrics.
    metrics_allow: Arc<ArcSwap<AllowList>>,
    listening: Listening,
    upstreams: Upstreams,
    /// What is answered here for some names.
    names: Names,
    /// Rings when the file for kubelet is changed, by us or by another program.
    file_watch: ChangeWatch,
    /// News of the workers.
    notices: mpsc::UnboundedReceiver<Notice>,
    outages: Outages,
    /// The kernel's tables; none where they could not be read.
    tables: Option<Tables>,
    /// The node's addresses, in an order that does not change by itself.
    addresses: Vec<IpAddr>,
    /// The addresses that discovery was told are ours.
    own: Vec<SocketAddr>,
    /// What the process before knew, until there are upstreams to hold it against.
    cache_left: Option<File>,
    proving: Proving,
    /// When the configuration that holds was read.
    configured: Instant,
    /// When the service began, and the time of day then.
    started: Instant,
    started_at: SystemTime,
    state: State,
}

/// Serves until a signal ends it.
///
/// # Errors
/// Where it cannot begin: no permission, no threads, nothing that could ever be listened on; or where a listener
/// breaks.
pub(crate) async fn serve(
    loaded: Loaded,
    overrides: Overrides,
    (in_force, in_place_of): (InForce, Option<PathBuf>),
    inherited: Inherited,
) -> Result<(), Failure> {
    let mut signals = Signals::catch().map_err(|error| Failure::System(format!("cannot catch signals: {error}")))?;
    let mut bell = Bell::hang().map_err(|error| Failure::System(format!("cannot hear of addresses: {error}")))?;
    let Loaded { settings, effective, .. } = loaded;
    let mut service = Service::build(settings, overrides, inherited)?;
    match in_force {
        InForce::Wanted => service.proving.begin(effective),
        InForce::LastGood(why) => service.state.configuration = Some(why),
    }
    let another_try = in_place_of.is_some().then(|| service.started + STANDS_IN);
    service.state.in_place_of = in_place_of.map(|program| program.display().to_string());
    watchdog::start(service.mailboxes.clone());
    warm_cache::leave_regularly(Arc::clone(&service.shared));
    service.open_control();
    service.open_metrics();
    service.names.read();
    service.look_for_upstreams();
    service.read_tables();
    loop {
        let wake = service.reconcile().await?;
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Reload => service.reload(),
                Wish::End => break,
            },
            rung = bell.rung() => {
                rung.map_err(|error| Failure::System(format!("cannot hear of addresses: {error}")))?;
                service.read_tables();
                service.mailboxes.tell_all(|| Event::RenewSockets);
            }
            Some(Notice::HealthChanged) = service.notices.recv() => service.look_at_health().await,
            () = service.upstreams.changed() => service.look_for_upstreams(),
            () = service.names.changed() => {
                service.names.read();
                service.names.adopt(service.upstreams.kubelet(), &service.shared);
            }
            () = service.file_watch.changed() => {}
            () = tokio::time::sleep_until(wake.into()) => {
                if service.tables.is_none() {
                    service.read_tables();
                }
            }
            () = clock::reached(another_try) => break,
            error = service.listening.broken() => {
                return Err(Failure::System(format!("a TCP listener has failed: {error}")));
            }
        }
    }
    Box::pin(service.end(signals)).await;
    Ok(())
}

impl Service {
    /// Makes plans and carries them out until nothing is left to do. Returns when to look again though nothing happens.
    async fn reconcile(&mut self) -> Result<Instant, Failure> {
        for _ in 0..ROUNDS {
            let file = kubelet_resolv_conf::read(&self.settings.resolv_conf.path);
            let upstreams = self.upstream_states();
            let observed = self.observe(file.as_deref(), &upstreams);
            let now = observed.now;
            let plan = plan(&observed, &self.state);
            if let Some(why) = plan.hopeless.filter(|_| self.state.phase == Phase::Starting) {
                return Err(Failure::Unusable(why));
            }
            self.state.told.retain(|line| plan.lines.contains(line));
            self.desk.publish(self.known()); // before what may take a while
            if plan.changes.is_empty() {
                let never = now + Duration::from_secs(86_400);
                return Ok(self.started + plan.wake.unwrap_or(never));
            }
            for change in plan.changes {
                let outcome = self.apply(&change).await?;
                self.state.learn(change, outcome, now);
            }
            let own = self.listening.addresses();
            if own != self.own {
                self.listeners_changed(own);
            }
        }
        log::debug!("the plan does not come to rest: {:?}", self.state);
        Ok(clock::now() + LOOK_AGAIN)
    }

    fn observe<'o>(&'o self, file: Option<&'o str>, upstreams: &'o [UpstreamState]) -> Observed<'o> {
        Observed {
            now: clock::now().saturating_duration_since(self.started),
            settings: &self.settings,
            tables: self.tables.as_ref(),
            kubelet: self.upstreams.kubelet(),
            found: kubelet_resolv_conf::Found { search: self.upstreams.search(), options: self.upstreams.options() },
            file,
            upstreams,
        }
    }

    /// How the upstreams for all names are; those of a domain are left to `onward status`.
    fn upstream_states(&self) -> Vec<UpstreamState> {
        let set = self.shared.set.load();
        let states = set.root().iter().map(|upstream| UpstreamState {
            server: upstream.endpoint.to_string(),
            is_down: self.outages.is_down(upstream.id),
        });
        states.collect()
    }

    /// Reads addresses and routes, and brings in line what hangs on them alone: the allow-list, and the guard's key.
    fn read_tables(&mut self) {
        let tables = match node_address::netlink::read() {
            Ok(tables) => tables,
            Err(error) => {
                if self.tables.take().is_some() || self.state.phase == Phase::Starting {
                    let event = LogEvent::AddressesUnreadable;
                    log::warn!(event = event, error:%; "cannot read addresses and routes ({error}); all stays as it is");
                }
                return;
            }
        };
        let addresses = addresses(&tables);
        if addresses != self.addresses {
            self.shared.guard.addresses_changed(&addresses);
            self.mailboxes.tell_all(|| Event::Guidance);
            self.addresses = addresses;
        }
        self.tables = Some(tables);
        self.compile_allow_list();
    }

    fn compile_allow_list(&self) {
        let Some(tables) = &self.tables else { return };
        self.shared.allow.store(Arc::new(AllowList::compile(&self.settings.allow.iter().collect(), tables)));
        self.mailboxes.tell_all(|| Event::AllowList);
        self.metrics_allow.store(Arc::new(AllowList::compile(&self.settings.metrics.allow.iter().collect(), tables)));
    }

    /// What is listened on is no upstream. And a probe comes home only where something listens, so the guard begins
    /// with the first listener; a new one may close a loop.
    fn listeners_changed(&mut self, own: Vec<SocketAddr>) {
        let has_opened = own.iter().any(|address| !self.own.contains(address));
        self.own = own;
        self.look_for_upstreams();
        if has_opened {
            self.shared.guard.set_changed(self.shared.set.load_full());
        }
    }

    /// Looks at the sources, and gives the engines the servers that are to be used now.
    fn look_for_upstreams(&mut self) {
        let set = self.upstreams.look(&self.own, clock::now());
        self.names.adopt(self.upstreams.kubelet(), &self.shared); // the cluster may be another
        let Some(set) = set else { return };
        self.shared.adopt(&set, clock::now());
        if let Some(left) = self.cache_left.take_if(|_| !set.root().is_empty()) {
            warm_cache::take_over(left, Arc::clone(&self.shared));
        }
        if !self.own.is_empty() {
            self.shared.guard.set_changed(Arc::clone(&set));
        }
        self.mailboxes.tell_all(|| Event::Upstreams(Arc::clone(&set)));
        self.shared.guard.tell_what_holds(&set, clock::now());
    }

    /// Asks the workers which upstreams do not answer, and tells people what has changed.
    async fn look_at_health(&mut self) {
        let set = self.shared.set.load_full();
        let reports = Workers::report(&self.mailboxes, REPORT).await;
        let reports: Vec<WorkerReport> = reports.into_iter().map(|(_, report)| report).collect();
        for line in self.outages.learn(&set, &reports) {
            line.log();
        }
    }

    /// Opens the socket where the service is asked how things are. Without one it serves as well.
    fn open_control(&mut self) {
        let path = &self.settings.control.socket;
        self.control = None;
        match ControlSocket::open(path, Arc::clone(&self.desk)) {
            Ok(socket) => self.control = Some(socket),
            Err(error) => {
                let path = path.display();
                let event = LogEvent::ControlSocketFailed;
                log::warn!(
                    event = event, path:%, error:%;
                    "cannot be asked at {path} ({error}): `onward status` and others will not reach this process; \
                     `control.socket` names another place"
                );
            }
        }
    }

    /// Gives metrics where the settings say.
    fn open_metrics(&mut self) {
        self.metrics = None; // the former place is free before the new one is taken
        let place = self.settings.metrics.listen.clone();
        self.metrics =
            place.map(|place| Endpoint::open(place, Arc::clone(&self.metrics_allow), Arc::clone(&self.desk)));
    }

    /// Tells what nobody else knows.
    fn known(&self) -> Known {
        Known {
            state: self.state.clone(),
            file: self.settings.resolv_conf.path.display().to_string(),
            outages: self.outages.clone(),
            troubles: troubles(&self.state, &self.upstream_states()),
            list: self.upstreams.list(),
            configured: self.configured,
            started: self.started,
            started_at: self.started_at,
        }
    }
}

/// Watches the file for kubelet, so that it is mended at once where another program changes or removes it.
fn watch_file(settings: &Settings) -> Result<ChangeWatch, Failure> {
    ChangeWatch::subscribe(vec![settings.resolv_conf.path.clone()])
        .map_err(|error| Failure::System(format!("cannot watch the file for kubelet: {error}")))
}

/// What is wanted of [`node_address::choose()`]; pods were given `handed_out`, the latest first.
#[must_use]
pub(crate) fn wanted(settings: &Settings, kubelet: &Kubelet, handed_out: Vec<IpAddr>) -> Wanted {
    Wanted {
        places: settings.listen.clone(),
        families: settings.families,
        node_ip: settings.node_ip.clone(),
        told: Told { node_ip: kubelet.node_ips.clone(), cluster_dns: kubelet.cluster_dns.clone() },
        handed_out,
        families_stick: true,
        address_sticks: true,
    }
}

/// The node's addresses, in an order that does not change by itself.
fn addresses(tables: &Tables) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = tables.addresses.iter().map(|address| address.ip).collect();
    addresses.sort_unstable();
    addresses
}
