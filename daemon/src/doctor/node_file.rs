//! The node's own `/etc/resolv.conf`: whose word it is, and whether it names a stub on loopback, which is where the
//! outage begins. By itself that harms nobody.

use super::{Diagnosis, File, Finding, Node, Severity};
use crate::discovery::{Governor, governor};

const ETC: &str = "/etc/resolv.conf";

pub(super) fn examine(node: &Node<'_>, diagnosis: &mut Diagnosis) {
    let file = match File::read(node.root, ETC) {
        Ok(Some(file)) => file,
        Ok(None) => {
            diagnosis.add(Finding {
                severity: Severity::Risk,
                what: format!("{ETC} is not there"),
                evidence: Vec::new(),
                effect: "programs of the node, and pods that get this file, ask 127.0.0.1".to_owned(),
                cure: vec!["# have the program that manages the node's network write it".to_owned()],
            });
            return;
        }
        Err(why) => return diagnosis.unseen.push(why),
    };
    let own: Vec<_> = node.ours.iter().map(|ip| std::net::SocketAddr::new(*ip, super::DNS_PORT)).collect();
    let by = match governor(&node.found.programs, &own) {
        Governor::Resolved => "systemd-resolved's",
        Governor::NetworkManager => "NetworkManager's",
        Governor::Resolvconf => "resolvconf's",
        Governor::Onward => "a link to Onward's file",
        Governor::Nobody => "kept by hand",
    };
    let stubs = file.lines(|ip| ip.is_loopback());
    let named: Vec<String> = file.addresses().iter().map(ToString::to_string).collect();
    let text = if stubs.is_empty() { "names" } else { "names a stub, which only the node itself reaches:" };
    diagnosis.well.push(format!("{ETC} is {by}; it {text} {}", named.join(", ")));
}
