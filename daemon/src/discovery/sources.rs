//! The places where servers are found, each by its name: what a program's facts make of it as a source. Pure.
//!
//! Whether a server is fit is for `vet`, whether the source counts for `governance`, and which source wins for
//! `preference`.

use std::path::Path;

use super::programs::Programs;
use super::programs::host::ETC;
use super::programs::link::Encryption;
use super::reader::Fact;
use super::reading::Reading;
use super::resolv_conf::ResolvConf;
use super::source_name::SourceName;
use super::vet::Rules;
use super::{listed, unwrap};

/// Returns what a source gives.
#[must_use]
pub(crate) fn read(name: &SourceName, programs: &Programs, rules: &Rules<'_>) -> Reading {
    match name {
        SourceName::Resolved => resolved(programs, rules),
        SourceName::NetworkManager => network_manager(programs, rules),
        SourceName::Networkd => networkd(programs, rules),
        SourceName::Resolvconf => resolvconf(programs, rules),
        SourceName::File(path) if path.as_os_str() == ETC => host(programs, rules),
        SourceName::File(path) => file(path, programs, rules),
    }
}

fn resolved(programs: &Programs, rules: &Rules<'_>) -> Reading {
    let mut reading = unwrap::resolved(programs, rules);
    reading.take_words_of(&programs.resolved.conf);
    reading
}

/// Its file for the host may name a stub that does more than the real servers could: then the stub comes first.
fn network_manager(programs: &Programs, rules: &Rules<'_>) -> Reading {
    let facts = &programs.network_manager;
    let mut reading = Reading::default();
    let (given, real) = (facts.given_servers(), facts.real_servers());
    if given.iter().any(listed::Listed::may_be_stub) || real.is_empty() {
        let list = unwrap::all(given, programs, rules, &mut reading);
        reading.lists.push(list);
    }
    if !reading.encrypts {
        let list = unwrap::all(real, programs, rules, &mut reading);
        reading.lists.push(list);
    }
    // Both files carry the same search list; the first that is there is enough.
    reading.take_words_of(if facts.real.known().is_some() { &facts.real } else { &facts.given });
    reading
}

fn networkd(programs: &Programs, rules: &Rules<'_>) -> Reading {
    let mut reading = Reading::default();
    if programs.networkd.links.iter().any(|link| link.encryption == Some(Encryption::Yes)) {
        reading.encrypts = true;
        reading.note(
            "systemd-networkd wants its servers asked with encryption (DNSOverTLS=yes): not asked in plain text"
                .to_owned(),
        );
    } else {
        let list = unwrap::all(programs.networkd.servers(), programs, rules, &mut reading);
        reading.lists.push(list);
    }
    reading.search = programs.networkd.links.iter().flat_map(|link| link.search.iter().cloned()).collect();
    reading
}

fn resolvconf(programs: &Programs, rules: &Rules<'_>) -> Reading {
    let mut reading = Reading::default();
    let list = unwrap::all(unwrap::resolvconf_servers(programs), programs, rules, &mut reading);
    reading.lists.push(list);
    for record in &programs.resolvconf.records {
        reading.search.extend(record.search.iter().cloned());
        reading.options.extend(record.options.iter().cloned());
    }
    reading
}

/// `/etc/resolv.conf`; without a server there, what the kernel learnt at boot.
fn host(programs: &Programs, rules: &Rules<'_>) -> Reading {
    let mut reading = Reading::default();
    let named = programs.host.servers();
    let kernels = if named.is_empty() { programs.kernels_servers() } else { Vec::new() };
    let list = unwrap::all(named, programs, rules, &mut reading);
    reading.lists.push(list);
    // Our own file's search list came from the sources, and would never change again if it counted as one.
    if !programs.host.is_ours {
        reading.take_words_of(&programs.host.conf);
    }
    if !kernels.is_empty() {
        reading.lists.push(kernels);
        reading.take_words_of(&programs.kernel);
    }
    reading
}

fn file(path: &Path, programs: &Programs, rules: &Rules<'_>) -> Reading {
    let mut reading = Reading::default();
    let Some(file) = programs.files.iter().find(|file| file.path == path) else { return reading };
    if let Some(conf) = file.conf.known() {
        let list = listed::listed(conf, &path.to_string_lossy());
        let list = unwrap::all(list, programs, rules, &mut reading);
        reading.lists.push(list);
    }
    reading.take_words_of(&file.conf);
    reading
}

impl Reading {
    fn take_words_of(&mut self, conf: &Fact<ResolvConf>) {
        if let Some(conf) = conf.known() {
            self.search.clone_from(&conf.search);
            self.options = conf.options.words();
        }
    }
}
