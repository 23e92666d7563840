//! What the file for kubelet says, and what is remembered of it.

use std::net::SocketAddr;

use log::Level;

use super::Planner;
use crate::kubelet_resolv_conf::{Content, Naming, render};
use crate::logging::LogEvent;
use crate::node_address::choose::{Families, ListenAddress};
use crate::service::change::Change;
use crate::service::state::{Check, Failed, Listener, Role};

impl Planner<'_> {
    /// Has the file written where it is not as it should be: also where another program changed or removed it. It stays
    /// as it is while no listener could be named.
    pub(super) fn file(&mut self, chosen: &[ListenAddress]) {
        let settings = &self.observed.settings.resolv_conf;
        let listeners = self.named(chosen);
        if listeners.is_empty() {
            return;
        }
        let (search, options) = (&settings.search, &settings.options);
        let content =
            Content { naming: Naming::Onward, listeners: &listeners, search, options, found: self.observed.found };
        let rendered = match render(&content) {
            Ok(rendered) => rendered,
            Err(reason) => {
                let text = format!("{} is not written: {reason}", settings.path.display());
                return self.tell(Level::Warn, LogEvent::FileFailed, text);
            }
        };
        let text = rendered.text;
        let known = &self.state.file;
        let is_right = self.observed.file == Some(&text) && known.text.as_ref() == Some(&text) && known.shown;
        let next_try = known.failed.as_ref().map(Failed::next_try);
        if !is_right && self.is_due(next_try) {
            self.change(Change::File { text, servers: rendered.servers, notes: rendered.notes });
        }
    }

    /// Returns the listeners that pods can be told of, in order: those that are chosen, then those that were handed out
    /// before, as long as they are served. Only those that answer.
    fn named(&self, chosen: &[ListenAddress]) -> Vec<SocketAddr> {
        let answers = |listener: &&Listener| listener.check == Check::Answers && self.has(listener.address);
        let listeners = || self.state.listeners.iter().filter(answers);
        let of_chosen = chosen.iter().filter_map(|one| listeners().find(|listener| listener.address == one.socket));
        let handed_out = |listener: &&Listener| self.state.handed_out.addresses.contains(&listener.address.ip());
        let stays = |listener: &&Listener| chosen.is_empty() || listener.role == Role::Former;
        let is_named = |listener: &&Listener| chosen.iter().any(|one| one.socket == listener.address);
        let former = listeners().filter(handed_out).filter(stays).filter(|listener| !is_named(listener));
        let all: Vec<_> = of_chosen.chain(former).map(|listener| listener.address).collect();
        self.without_barred(all)
    }

    /// Leaves out addresses of a family that the configuration rules out, unless nothing else is there.
    fn without_barred(&self, all: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let allowed = |address: &&SocketAddr| match self.observed.settings.families {
            Families::Ipv4 => address.is_ipv4(),
            Families::Ipv6 => address.is_ipv6(),
            Families::Auto | Families::Both => true,
        };
        let fitting: Vec<_> = all.iter().filter(allowed).copied().collect();
        if fitting.is_empty() { all } else { fitting }
    }

    /// Has the addresses that were handed out brought to disk.
    pub(super) fn remember(&mut self) {
        let handed_out = &self.state.handed_out;
        if handed_out.saved || handed_out.addresses.is_empty() {
            return;
        }
        if self.is_due(handed_out.failed.as_ref().map(Failed::next_try)) {
            self.change(Change::Remember(handed_out.addresses.clone()));
        }
    }
}
