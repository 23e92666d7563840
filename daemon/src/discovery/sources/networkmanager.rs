//! NetworkManager: `no-stub-resolv.conf`, which always has the real servers, then `resolv.conf`, which may name a stub.
//!
//! Where `resolv.conf` names a stub that does more than the real servers could (see `unwrap`), the stub comes first.

use std::path::PathBuf;

use super::{Reading, Source, listed};
use crate::discovery::root::Root;
use crate::discovery::unwrap;

/// The real servers, whatever stub is in front of them.
pub(in crate::discovery) const NO_STUB: &str = "/run/NetworkManager/no-stub-resolv.conf";
/// What NetworkManager gives, or would give, the host.
pub(in crate::discovery) const RESOLV_CONF: &str = "/run/NetworkManager/resolv.conf";

/// NetworkManager.
#[derive(Debug, Clone, Copy)]
pub struct NetworkManager;

impl Source for NetworkManager {
    fn read(&self, root: &Root) -> Reading {
        let mut reading = Reading::default();
        let given = reading.resolv_conf(root, RESOLV_CONF);
        let real = reading.resolv_conf(root, NO_STUB);
        let list = |conf: &Option<_>, path| conf.as_ref().map(|conf| listed(conf, path)).unwrap_or_default();
        let (given_list, real_list) = (list(&given, RESOLV_CONF), list(&real, NO_STUB));
        if given_list.iter().any(|listed| unwrap::is_stub(&listed.server)) || real_list.is_empty() {
            let unwrapped = unwrap::all(given_list, root, &mut reading);
            reading.lists.push(unwrapped);
        }
        reading.lists.push(real_list);
        // Both carry the same search list; the first that is there is enough.
        if let Some(conf) = real.or(given) {
            reading.options = conf.options.words();
            reading.search = conf.search;
        }
        reading
    }

    fn paths(&self) -> Vec<PathBuf> {
        vec![NO_STUB.into(), RESOLV_CONF.into()]
    }
}
