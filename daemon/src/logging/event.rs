//! The kinds of events that the log tells of: each with a name (`ONWARD_EVENT`) and an id (`MESSAGE_ID`) for programs
//! that read the journal.
//!
//! Both are an interface: neither changes, and neither is used again for something else. A new kind gets a fresh id
//! from `journalctl --new-id128` or `uuidgen -r`, and an entry in `systemd/onward.catalog`, which people read by
//! `journalctl -x`.

use log::kv::{ToValue, Value};

/// Defines the kinds, each with its meaning (its comment, too), name and id.
macro_rules! events {
    ($($variant:ident = $name:literal, $id:literal, $meaning:literal;)+) => {
        /// A kind of event. Given with a log line as its field `event`: `info!(event = LogEvent::Listening; "…")`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum LogEvent { $(#[doc = $meaning] $variant,)+ }

        impl LogEvent {
            /// Every kind.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the name, as `ONWARD_EVENT` has it.
            #[must_use]
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Returns the id, as `MESSAGE_ID` has it (systemd.journal-fields(7)).
            #[must_use]
            pub(crate) const fn message_id(self) -> &'static str {
                match self { $(Self::$variant => $id,)+ }
            }
        }
    };
}

events! {
    // The process.
    StartFailed = "start-failed", "ad0b7c8567494adf9e36acc76454507d",
        "The service could not start, or could not go on.";
    Ending = "ending", "103d022d13d84d5ca20432a3f12dbb24",
        "The service was told to end and finishes what is in progress.";
    EndedAtOnce = "ended-at-once", "6d96e862acec400b9a2de9d323ffc568",
        "A second signal ended the service before all queries in progress were answered.";
    ReadyWithoutAddress = "ready-without-address", "a89b060673ca485180bf573aa786493f",
        "systemd was told that the service is ready though the node has no address to listen on.";
    WorkerStuck = "worker-stuck", "952adaa9de7d4fb4b55e26f4a99c6d05",
        "A worker does not answer, so that systemd may replace the service; or all answer again.";
    LinesLost = "lines-lost", "4676348b45514752bca7c0eb560d92c8",
        "Log lines were dropped since they came faster than they could be written.";
    // The configuration.
    Reloaded = "reloaded", "5297363693804910ac677c88cf9dc8b3",
        "The configuration and the sources of upstreams were read again.";
    ReloadFailed = "reload-failed", "5e21326b8c46486abaf2ba5bfdc87be4",
        "The configuration could not be applied; the one before stays in force.";
    ConfigurationFault = "configuration-fault", "35de1d34156249ef8d72f555a0af31a7",
        "The configuration has a fault.";
    ConfigurationNote = "configuration-note", "eabc1a7d0ffa4cb68fb29ff5fc6c7d47",
        "The configuration holds, but something in it deserves a look.";
    RestartNeeded = "restart-needed", "5416520f503243e28f0d21a042d4b3b3",
        "A changed setting takes effect at the next restart only.";
    ControlSocketFailed = "control-socket-failed", "82ce3df8389e4a95a367abb10474cdf9",
        "The socket where the service is asked how things are could not be opened.";
    MetricsGiven = "metrics-given", "116528161eff4633b0191c55671aa230",
        "Metrics can be had at an address or a socket.";
    MetricsFailed = "metrics-failed", "1eac55db38d644218d0876475cda646a",
        "Metrics cannot be had where they are to be; it is tried again.";
    // The node's addresses and the listeners.
    Listening = "listening", "6506b87175b546f4bfcb45e3dc7778a5",
        "An address is listened on.";
    ListenFailed = "listen-failed", "84eb2775d81e4dce9e2ca83e3338ce46",
        "An address cannot be listened on; it is tried again.";
    PortTaken = "port-taken", "2825039a0f4d4106a7160fd0b5830065",
        "Another program holds the port that is to be listened on; it is waited for.";
    AddressChosen = "address-chosen", "dfd22376fafa4f25b820c80b17a3b7ea",
        "What speaks for or against the address that was chosen as the node's.";
    AddressMissing = "address-missing", "f2d680227f774089ab3acbbff0949dc5",
        "A place to listen on has no address now.";
    AddressSuperseded = "address-superseded", "b51ea250a6414b279d1ba27574227a1d",
        "An address is no longer the node's by the rules, but is still served.";
    AddressGone = "address-gone", "355f487f4de94bc2aabd816f5b6f41dd",
        "An address that pods know has gone from the node.";
    CacheTakenOver = "cache-taken-over", "89d1209dd4644b0db9a2da36daa59087",
        "The cache of the process before was taken over.";
    StandsIn = "stands-in", "8234abd7944e410c9a7c53b6a6c74363",
        "The installed program does not come up; the one that worked last runs in its place.";
    LastGoodConfiguration = "last-good-configuration", "fd2a9bd93f4c468ea957630b9da68ba5",
        "The configuration has faults; the one that worked last is in force.";
    HandoverDropped = "handover-dropped", "2b0830e24cc24bbf965a520c31eb60a4",
        "Something that was to outlive the process did not.";
    NoAddress = "no-address", "d03089fbcb1f409a8465adce94c3e848",
        "The node has no address to listen on.";
    NoDefaultRoute = "no-default-route", "e359ee03d66e465abad95c1f7d22e139",
        "No default route appeared in time; the choice of the address goes without.";
    AddressesUnreadable = "addresses-unreadable", "6d53d95bf4294f528e25475d37b45cfd",
        "Addresses and routes of the node cannot be read.";
    ReceiveBufferSmall = "receive-buffer-small", "928ae42b520c4dd49fdfb7d0f7468523",
        "The kernel grants a smaller receive buffer than bursts need.";
    // The file for kubelet.
    FileWritten = "file-written", "24c5771ee6cc48de83fc37afb515b4af",
        "The file for kubelet was written.";
    FileUnchanged = "file-unchanged", "d1c4d338c86447f482b033290c0a504f",
        "The file for kubelet is as it has to be already.";
    FileNote = "file-note", "bbcb4188a12949d6b27ee8a2ef75abb3",
        "Something was left out of the file for kubelet.";
    FileFailed = "file-failed", "7064388fa2de4ca186bc4311f00b2300",
        "The file for kubelet is not written.";
    KubeletHint = "kubelet-hint", "8b9dc5da591d43de813b59427ee856a1",
        "What kubelet's configuration needs.";
    // Upstreams and their sources.
    UpstreamInUse = "upstream-in-use", "108f5f03a330465082d5431a91bec103",
        "A server is an upstream from now on.";
    TlsRefused = "tls-refused", "944132a6470844a5af3a5d0b228d4094",
        "There is no TLS with an upstream server, mostly since its certificate is refused; it is not asked.";
    TlsAccepted = "tls-accepted", "efc744a022d247cc9ce0e316425bddb6",
        "An upstream server with which there was no TLS has it again.";
    TrustUnreadable = "trust-unreadable", "2bef64a8c680474fb96af96ff1c36aa6",
        "Certificates that are to be trusted cannot be read.";
    UpstreamRefused = "upstream-refused", "927b85594a6244fc93ec02988ab2e6a6",
        "A server that a source names is not used as an upstream.";
    UpstreamDown = "upstream-down", "17bcdf59d4bc4b8bb3a2f6a8aab9eabf",
        "An upstream does not answer any more.";
    UpstreamBack = "upstream-back", "062ca5a94c5340c9a17845c52fb5bb8b",
        "An upstream answers again.";
    AllUpstreamsDown = "all-upstreams-down", "7a850293f39a4ffc9a43b62e921165c5",
        "No upstream answers any more.";
    NoUpstream = "no-upstream", "ee9e168e0d1a4baaa94feaa5c151b161",
        "No upstream is known.";
    SourceEmpty = "source-empty", "70cf77e36df441fa9241586727383469",
        "A source names no server any more; its last good list stays.";
    SourceNote = "source-note", "7f920482ffbd436e8950a043fa4187eb",
        "Something that a source says is read in a way worth knowing.";
    SourceUnknown = "source-unknown", "94f1725f6499462aba57adfdd7dd207c",
        "Something that matters for the choice of upstreams cannot be read.";
    SourcesUnwatched = "sources-unwatched", "74b806b185b44842aee499f5f1518bd7",
        "Changes of the files that name upstreams are no longer noticed.";
    HostsNote = "hosts-note", "182876bc53fd462eb44b0444cc48a050",
        "Something of a hosts file is not used.";
    LastGoodUnusable = "last-good-unusable", "ac8714d9cfdd40889c292109d17abc07",
        "The list of upstreams that was kept on disk is not used.";
    LastGoodUnsaved = "last-good-unsaved", "1cdb544c658e45debd735cb73475e7f4",
        "The list of upstreams cannot be kept on disk.";
    // The loop guard.
    Suspected = "suspected", "3393a8a73f8947a7b0b6b4a8ed3a5c71",
        "An upstream may send queries back; it gets a probe.";
    Looping = "looping", "9a4176bc52ed425f9767be86f444b0ac",
        "An upstream sends queries back and is not asked until it answers by itself.";
    HalfLooping = "half-looping", "a5982434a2af4e83b13988286dd98bd1",
        "An upstream sends some queries back and is asked last.";
    Released = "released", "48c5467b7bab44e49c398359a56b7af6",
        "An upstream that sent queries back answers by itself again.";
    Holds = "holds", "5b864f953cd645d29c22734c1c0f9910",
        "A verdict given earlier still holds.";
    Learnt = "learnt", "459fb695a34b4a2bb6799588b17ab36e",
        "Probes showed which marks an upstream bears.";
}

impl LogEvent {
    /// Finds the kind that has this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event| event.name() == name)
    }
}

impl ToValue for LogEvent {
    fn to_value(&self) -> Value<'_> {
        Value::from(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn each_event_has_a_name_and_an_id_of_its_own() {
        let names: HashSet<_> = LogEvent::ALL.iter().map(|event| event.name()).collect();
        let ids: HashSet<_> = LogEvent::ALL.iter().map(|event| event.message_id()).collect();
        assert_eq!((names.len(), ids.len()), (LogEvent::ALL.len(), LogEvent::ALL.len()));
        for event in LogEvent::ALL {
            let (name, id) = (event.name(), event.message_id());
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{name}");
            // As systemd writes an id, and random (RFC 9562, section 5.4), so that it is nobody else's.
            assert!(id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{name}: {id}");
            assert!(
                id.as_bytes()[12] == b'4' && matches!(id.as_bytes()[16], b'8' | b'9' | b'a' | b'b'),
                "{name}: {id}"
            );
            assert_eq!(LogEvent::named(name), Some(*event));
        }
    }

    /// What `journalctl --catalog` explains: each event, once, with what pods notice and what to do.
    #[test]
    fn the_journal_catalog_explains_each_event() {
        let catalog = include_str!("../../../systemd/onward.catalog");
        let entries: Vec<(&str, &str)> = catalog.split("\n-- ").skip(1).filter_map(|it| it.split_once('\n')).collect();
        let explained: Vec<&str> = entries.iter().map(|(id, _)| *id).collect();
        let told: Vec<&str> = LogEvent::ALL.iter().map(|event| event.message_id()).collect();
        assert_eq!(explained, told, "in the order of the events");
        for (id, text) in entries {
            for part in
                ["Subject: ", "Defined-By: onward\n", "Documentation: man:", "\nWhat pods notice: ", "\nWhat to do: "]
            {
                assert!(text.contains(part), "{id}: {part}");
            }
        }
    }

    fn sources(folder: &Path) -> Vec<PathBuf> {
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let (folders, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
        let inside = folders.iter().flat_map(|folder| sources(folder));
        inside.chain(files.into_iter().filter(|path| path.extension().is_some_and(|kind| kind == "rs"))).collect()
    }

    /// The lines at info and above: where each is, and what stands before its text.
    fn log_lines(text: &str) -> impl Iterator<Item = &str> {
        let calls = ["info!(", "warn!(", "error!(", "log!("].map(|call| format!("log::{call}"));
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let starts = code.filter(move |line| calls.iter().any(|call| line.contains(call)));
        // The fields of a long call stand in the next lines.
        starts.filter_map(|line| text.get(text.find(line)?..).and_then(|rest| rest.split('"').next()))
    }

    #[test]
    fn each_log_line_at_info_and_above_tells_its_event() {
        let mut lines = 0;
        let all = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        for path in all.into_iter().filter(|path| !path.ends_with(file!())) {
            let text = std::fs::read_to_string(&path).unwrap();
            for line in log_lines(&text) {
                assert!(line.contains("event = "), "{}: {line}", path.display());
                lines += 1;
            }
        }
        assert!(lines > 30, "{lines}");
        assert_eq!(log_lines("log::warn!(\"no event\");").next(), Some("log::warn!("));
    }
}
