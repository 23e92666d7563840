//! Builds the service: what needs no address, no upstream and no listener yet. What becomes of it is for the loop.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;

use super::desk::Desk;
use super::listening::Listening;
use super::local_names::Names;
use super::outages::Outages;
use super::proven::Proving;
use super::state::State;
use super::upstreams::Upstreams;
use super::workers::{self, Ends, Workers};
use super::{Service, addresses, handed_out, warm_cache, watch_file};
use crate::admit::acl::{AllowList, Allowed};
use crate::cache::Cache;
use crate::clock;
use crate::config::{Overrides, Settings};
use crate::discovery::Root;
use crate::exchange::stream;
use crate::failure::Failure;
use crate::forwarder::{Event, Shared};
use crate::guard::Guard;
use crate::handover::store::Inherited;
use crate::logging::LogEvent;
use crate::node_address::{self, Tables};
use crate::server::clients::Clients;
use crate::server::mailbox::Mailboxes;
use crate::server::queries::Queries;
use crate::server::tcp::TcpServer;
use crate::waiters::Waiters;

impl Service {
    /// Cache, waiters, workers: all that needs no address.
    pub(super) fn build(settings: Settings, overrides: Overrides, mut inherited: Inherited) -> Result<Self, Failure> {
        let (started, cache_left) = (clock::now(), inherited.take_cache());
        let system = |what: &str, error: std::io::Error| Failure::System(format!("cannot start {what}: {error}"));
        let mailboxes = workers::mailboxes(&settings).map_err(|error| system("the workers", error))?;
        let (mailboxes, inboxes): (Vec<_>, Vec<_>) = mailboxes.into_iter().unzip();
        let mailboxes = Mailboxes::new(mailboxes);
        let addresses = node_address::netlink::read().map(|tables| addresses(&tables)).unwrap_or_default();
        let (guard, judge) = Guard::new(settings.guard, &addresses);
        let told = mailboxes.clone();
        let streams = stream::start(&settings.tls);
        tokio::spawn(judge.run(move || told.tell_all(|| Event::Guidance), stream::for_probes(&streams)));
        let shared = shared(&settings, guard, started);
        let clients = Arc::new(Clients::default());
        let (told, notices) = mpsc::unbounded_channel();
        let ends = Ends {
            mailboxes: mailboxes.clone(),
            clients: Arc::clone(&clients),
            notices: told,
            streams: Arc::clone(&streams),
        };
        let workers =
            Workers::start(&settings, &shared, inboxes, &ends).map_err(|error| system("the workers", error))?;
        let queries = Arc::new(Queries::new(Arc::clone(&shared), mailboxes.clone(), clients));
        let tcp = Arc::new(TcpServer::new(Arc::clone(&queries), settings.limits.tcp));
        let desk = Desk::new(Arc::clone(&shared), mailboxes.clone(), queries, Arc::clone(&tcp));
        let listening = Listening::new(mailboxes.clone(), tcp, inherited);
        Ok(Self {
            upstreams: Upstreams::new(&settings)?,
            names: Names::new(&settings.names)?,
            file_watch: watch_file(&settings)?,
            state: State::new(remembered(&settings.state_dir)),
            notices,
            outages: Outages::default(),
            settings,
            overrides,
            shared,
            mailboxes,
            streams,
            workers,
            desk: Arc::new(desk),
            control: None,
            metrics: None,
            metrics_allow: Arc::new(ArcSwap::from_pointee(nobody())),
            listening,
            tables: None,
            addresses,
            own: Vec::new(),
            cache_left,
            proving: Proving::default(),
            configured: started,
            started,
            started_at: clock::wall(),
        })
    }
}

/// What the workers share, before there are upstreams and listeners.
fn shared(settings: &Settings, guard: Guard, started: Instant) -> Arc<Shared> {
    Arc::new(Shared {
        cache: Cache::new((&settings.cache).into()),
        waiters: Waiters::new(settings.limits.misses, settings.limits.waiters),
        allow: ArcSwap::from_pointee(nobody()),
        set: ArcSwap::default(),
        names: ArcSwap::default(),
        guard,
        monitor: Arc::default(),
        payload: settings.limits.udp_payload,
        started: warm_cache::beginning(started),
    })
}

/// An allow-list with nobody on it.
fn nobody() -> AllowList {
    AllowList::compile(&Allowed::default(), &Tables::default())
}

/// Returns the addresses that pods were given by an earlier run.
fn remembered(state_dir: &Path) -> Option<Vec<IpAddr>> {
    match handed_out::load(state_dir, &Root::machine()) {
        Ok(addresses) => addresses,
        Err(why) => {
            let event = LogEvent::AddressChosen;
            log::warn!(event = event, why:%; "the addresses kept in {} are not used: {why}", state_dir.display());
            None
        }
    }
}
