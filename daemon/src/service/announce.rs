//! What people are told of the listeners, and the file that kubelet reads.

use super::listening::Changes;
use crate::kubelet_resolv_conf::{self, Content, Found, Settings, Written};
use crate::node_address::Chosen;

/// Tells what is listened on, and what no longer.
pub(super) fn listening(changes: &Changes) {
    for (address, reason) in &changes.opened {
        log::info!(address:%; "listening on {address} (UDP and TCP), {reason}");
    }
    for address in &changes.kept {
        log::warn!(
            address:%;
            "{address} is no longer this node's address by the rules; pods that know it are answered as long as it exists"
        );
    }
    for address in &changes.closed {
        log::warn!(address:%; "{address} has gone from this node; pods that know it must be made anew");
    }
}

/// The file for kubelet, as last written.
#[derive(Debug, Default)]
pub(super) struct File {
    told: Option<String>,
    trouble: Option<String>,
}

impl File {
    /// Writes the file, if it must change, and tells of it; false where it should be tried again.
    pub(super) fn write(&mut self, settings: &Settings, chosen: &Chosen, found: Found<'_>) -> bool {
        // A socket can be bound before the node has its address; no pod should be told of it before.
        let listeners: Vec<_> =
            chosen.addresses.iter().filter(|address| address.present).map(|address| address.socket).collect();
        let content = Content { listeners: &listeners, search: &settings.search, options: &settings.options, found };
        let path = settings.path.display();
        let rendered = match kubelet_resolv_conf::render(&content) {
            Ok(rendered) => rendered,
            Err(reason) => {
                self.tell_once(format!("{path} is not written: {reason}"));
                return true;
            }
        };
        match kubelet_resolv_conf::write(&settings.path, &rendered.text) {
            Ok(written) => {
                self.trouble = None;
                if self.told.as_ref() != Some(&rendered.text) {
                    for note in &rendered.notes {
                        log::info!(path:%; "{note}");
                    }
                    tell(&settings.path, written, &rendered.text, self.told.is_none());
                    self.told = Some(rendered.text);
                }
                true
            }
            Err(error) => {
                // Its text names a temporary file, which is another one each time.
                if self.trouble.is_none() {
                    self.tell_once(error.to_string());
                }
                false
            }
        }
    }

    fn tell_once(&mut self, trouble: String) {
        if self.trouble.as_ref() != Some(&trouble) {
            log::warn!("{trouble}");
            self.trouble = Some(trouble);
        }
    }
}

fn tell(path: &std::path::Path, written: Written, text: &str, first: bool) {
    let path = path.display();
    let content: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    match written {
        Written::Replaced => log::info!(path:%; "wrote {path}: {}", content.join("; ")),
        Written::Unchanged => log::info!(path:%; "{path} is as it should be: {}", content.join("; ")),
    }
    if first {
        log::info!("for kubelet's configuration: resolvConf: {path}");
    }
}
