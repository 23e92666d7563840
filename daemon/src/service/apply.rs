//! Carries out what was planned, one change at a time, and tells of it.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::change::{Change, Outcome};
use super::state::{Check, Phase, RETRY, Role};
use super::{Service, check, handed_out, notify};
use crate::discovery::Root;
use crate::failure::Failure;
use crate::kubelet_resolv_conf::{self, Note, Written};
use crate::logging::LogEvent;
use crate::net::bind::BindError;

impl Service {
    /// Carries out a change. Returns what became of it.
    ///
    /// # Errors
    /// Where the service cannot begin at all: the privilege to listen is missing.
    pub(super) async fn apply(&mut self, change: &Change) -> Result<Outcome, Failure> {
        match change {
            Change::Open { address, role, why } => return self.open(*address, *role, why),
            Change::Check(address) => return Ok(self.check(*address).await),
            Change::Role { address, role } => tell_role(*address, *role),
            Change::Close(address) => {
                self.listening.close(*address);
                log::warn!(
                    event = LogEvent::AddressGone, address:%;
                    "{address} has gone from this node; pods that know it must be made anew"
                );
            }
            Change::File { text, servers: _, notes } => return self.write_file(text, notes),
            Change::Remember(addresses) => return Ok(self.remember(addresses)),
            Change::GiveWay => log::warn!(
                event = LogEvent::AddressChosen;
                "the address that pods were given has not come back; another one may stand in for it from now on"
            ),
            Change::Tell(line) => line.log(),
            Change::Ready(status) => {
                self.listening.settle();
                notify::ready(status);
            }
            Change::Status(status) => notify::status(status),
            Change::Unblock(_) | Change::Wait(_) | Change::TakeBack(_) => {}
        }
        Ok(Outcome::Done)
    }

    fn open(&mut self, address: SocketAddr, role: Role, why: &str) -> Result<Outcome, Failure> {
        let error = match self.listening.open(address) {
            Ok(()) => {
                log::info!(event = LogEvent::Listening, address:%; "listening on {address} (UDP and TCP), {why}");
                return Ok(Outcome::Done);
            }
            Err(error) => error,
        };
        let is_first = self.state.listeners.is_empty() && self.state.phase == Phase::Starting;
        if is_first && matches!(error, BindError::NotPermitted { .. }) {
            return Err(Failure::Permission(error.to_string()));
        }
        // Once for as long as it lasts: who is in the way may be seen in another way at each try.
        let is_known = self.state.blocked.iter().any(|blocked| blocked.address == address);
        if !is_known && role == Role::Chosen {
            let event = match error {
                BindError::Taken { .. } => LogEvent::PortTaken,
                BindError::NotPermitted { .. } | BindError::Other { .. } => LogEvent::ListenFailed,
            };
            log::error!(event = event, address:%; "{error}; trying again every {} s", RETRY.as_secs());
        }
        Ok(Outcome::Failed(error.to_string()))
    }

    async fn check(&self, address: SocketAddr) -> Outcome {
        if check::answers(address).await {
            self.proving.answered();
            return Outcome::Done;
        }
        let listener = self.state.listeners.iter().find(|listener| listener.address == address);
        if listener.is_some_and(|listener| listener.check == Check::Unknown) {
            log::error!(
                event = LogEvent::ListenFailed, address:%;
                "{address} is listened on, but a query to it from this node is not answered: something takes it away, as a \
                 firewall or NAT rule; no pod is told of it before it answers; trying again every {} s",
                RETRY.as_secs()
            );
        }
        Outcome::Failed(format!("{address} does not answer"))
    }

    fn write_file(&self, text: &str, notes: &[Note]) -> Result<Outcome, Failure> {
        let file = &self.state.file;
        let (whole_path, path) = (&self.settings.resolv_conf.path, self.settings.resolv_conf.path.display());
        let written = match kubelet_resolv_conf::write(whole_path, text) {
            Ok(written) => written,
            Err(error) if file.text.is_some() && is_for_systemd_to_make(whole_path) => {
                let why = "its directory was removed; ending, since systemd makes it at each start of this service";
                return Err(Failure::System(format!("{error}: {why}")));
            }
            Err(error) => {
                // Its text names a temporary file, which is another one each time; so it is told once.
                if file.failed.is_none() {
                    log::error!(event = LogEvent::FileFailed, path:%; "{error}; trying again every {} s", RETRY.as_secs());
                }
                return Ok(Outcome::Failed(format!("{path} cannot be written")));
            }
        };
        let is_news = !file.shown || file.text.as_deref() != Some(text);
        if is_news {
            for note in notes {
                log::info!(event = LogEvent::FileNote, path:%; "{note}");
            }
        }
        let content: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let content = content.join("; ");
        match written {
            Written::Replaced if is_news => {
                log::info!(event = LogEvent::FileWritten, path:%; "wrote {path}: {content}")
            }
            Written::Replaced => {
                log::warn!(event = LogEvent::FileWritten, path:%; "{path} was changed or removed; wrote it again: {content}");
            }
            Written::Unchanged => log::info!(event = LogEvent::FileUnchanged, path:%; "{path} is unchanged: {content}"),
        }
        if !file.shown {
            log::info!(event = LogEvent::KubeletHint; "for kubelet's configuration: resolvConf: {path}");
        }
        Ok(Outcome::Done)
    }

    fn remember(&self, addresses: &[IpAddr]) -> Outcome {
        let directory = &self.settings.state_dir;
        let Err(error) = handed_out::save(addresses, directory, &Root::machine()) else { return Outcome::Done };
        let directory = directory.display();
        if self.state.handed_out.failed.is_none() {
            log::warn!(
                event = LogEvent::FileFailed, error:%;
                "the addresses that pods were given cannot be kept in {directory} ({error}); trying again every {} s",
                RETRY.as_secs()
            );
        }
        Outcome::Failed(format!("{directory} cannot be written"))
    }
}

/// Returns whether the directory of the file is gone, and is one that systemd makes for us (`RuntimeDirectory=`,
/// systemd.exec(5)). We are not root, so that we could not make it in /run ourselves.
fn is_for_systemd_to_make(file: &Path) -> bool {
    let Some(directory) = file.parent().filter(|directory| !directory.exists()) else { return false };
    let made = std::env::var_os("RUNTIME_DIRECTORY").unwrap_or_default();
    std::env::split_paths(&made).any(|one| one == directory)
}

fn tell_role(address: SocketAddr, role: Role) {
    match role {
        Role::Chosen => {
            log::info!(event = LogEvent::Listening, address:%; "{address} is this node's address by the rules again");
        }
        Role::Former => log::warn!(
            event = LogEvent::AddressSuperseded, address:%;
            "{address} is no longer this node's address by the rules; pods that know it are answered as long as it exists"
        ),
    }
}
