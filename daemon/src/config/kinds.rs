//! Kinds of values: how one is read from a text, how it is shown again, and what is said where it is not allowed.

use std::fmt::Display;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::IpNet;
use serde_json::Value as Json;

use super::{typos, words};
use crate::upstream::endpoint::TLS_PORT;
use crate::upstream::{Endpoint, Security};

/// A kind of value.
pub(super) trait Kind {
    /// What the rest of the program gets.
    type Value: PartialEq;

    /// Reads one; the error says what is wrong or what is allowed.
    fn parse(&self, text: &str) -> Result<Self::Value, String>;

    /// Returns what a person should know of a text that is allowed but may mean something else than they think.
    fn note(&self, _text: &str) -> Option<String> {
        None
    }

    /// As it stands in TOML and in JSON, which write these kinds alike.
    fn shown(&self, value: &Self::Value) -> Json;
}

/// Anything with a text form of its own.
pub(super) struct Word<T>(PhantomData<T>);

/// A [`Word`] of the type that the place wants.
pub(super) fn word<T>() -> Word<T> {
    Word(PhantomData)
}

/// `true` or `false`.
pub(super) struct Switch;

/// Another kind, or `"auto"` for none.
pub(super) struct AutoOr<K>(pub(super) K);

/// Another kind, or `"off"` for none.
pub(super) struct OffOr<K>(pub(super) K);

/// A whole number in a range; the text says why the range is what it is, where a standard does.
pub(super) struct Count<T>(pub(super) RangeInclusive<T>, pub(super) &'static str);

/// A duration of whole seconds in a range of them, written with its unit.
pub(super) struct Span(pub(super) RangeInclusive<u64>, pub(super) &'static str);

/// A number of bytes in a range, written with its unit.
pub(super) struct Size(pub(super) RangeInclusive<u64>);

/// A path from the root.
pub(super) struct AbsolutePath;

/// An address that a node can have.
pub(super) struct NodeAddress;

/// A network, without bits beyond its prefix.
pub(super) struct Network;

/// A server that can be asked.
pub(super) struct Upstream;

impl<T: FromStr<Err: Display> + Display + PartialEq> Kind for Word<T> {
    type Value = T;

    fn parse(&self, text: &str) -> Result<T, String> {
        text.parse().map_err(|error: T::Err| error.to_string())
    }

    fn shown(&self, value: &T) -> Json {
        Json::String(value.to_string())
    }
}

impl Kind for Switch {
    type Value = bool;

    fn parse(&self, text: &str) -> Result<bool, String> {
        text.parse().map_err(|_| {
            let hint = typos::boolean(text).map(|word| format!("; write {word}")).unwrap_or_default();
            format!("allowed is true or false{hint}")
        })
    }

    fn shown(&self, value: &bool) -> Json {
        Json::Bool(*value)
    }
}

impl<K: Kind> Kind for AutoOr<K> {
    type Value = Option<K::Value>;

    fn parse(&self, text: &str) -> Result<Option<K::Value>, String> {
        if text == "auto" {
            return Ok(None);
        }
        self.0.parse(text).map(Some).map_err(|allowed| {
            let hint = if text.trim().eq_ignore_ascii_case("auto") { "; write it in lower case" } else { "" };
            format!("{allowed}, or \"auto\"{hint}")
        })
    }

    fn note(&self, text: &str) -> Option<String> {
        self.0.note(text)
    }

    fn shown(&self, value: &Option<K::Value>) -> Json {
        value.as_ref().map_or_else(|| Json::String("auto".to_owned()), |value| self.0.shown(value))
    }
}

impl<K: Kind> Kind for OffOr<K> {
    type Value = Option<K::Value>;

    fn parse(&self, text: &str) -> Result<Option<K::Value>, String> {
        if text == "off" {
            return Ok(None);
        }
        self.0.parse(text).map(Some).map_err(|allowed| format!("{allowed}, or \"off\""))
    }

    fn shown(&self, value: &Option<K::Value>) -> Json {
        value.as_ref().map_or_else(|| Json::String("off".to_owned()), |value| self.0.shown(value))
    }
}

impl<T: FromStr + Display + PartialOrd + Copy + Into<Json>> Kind for Count<T> {
    type Value = T;

    fn parse(&self, text: &str) -> Result<T, String> {
        text.parse().ok().filter(|number| self.0.contains(number)).ok_or_else(|| {
            format!("allowed is a whole number from {} to {}{}", self.0.start(), self.0.end(), because(self.1))
        })
    }

    fn shown(&self, value: &T) -> Json {
        (*value).into()
    }
}

impl Kind for Span {
    type Value = Duration;

    fn parse(&self, text: &str) -> Result<Duration, String> {
        let range = Duration::from_secs(*self.0.start())..=Duration::from_secs(*self.0.end());
        // humantime takes a bare 0; with us every duration has its unit.
        let parsed = humantime::parse_duration(text).ok().filter(|_| text != "0");
        let in_range = parsed.filter(|duration| range.contains(duration));
        // What is kept by the second would be cut, and people not told.
        in_range.filter(|duration| duration.subsec_nanos() == 0).ok_or_else(|| {
            let (least, most) = (show_duration(*range.start()), show_duration(*range.end()));
            let in_seconds =
                text.trim().parse().ok().map(Duration::from_secs).filter(|duration| range.contains(duration));
            let hint = match in_seconds {
                _ if in_range.is_some() => "; write it in whole seconds".to_owned(),
                Some(duration) => format!("; if seconds are meant, write \"{}\"", show_duration(duration)),
                None if text.ends_with('M') => "; M is a month, a minute is m".to_owned(),
                None => String::new(),
            };
            format!("allowed is a duration with its unit, from \"{least}\" to \"{most}\"{}{hint}", because(self.1))
        })
    }

    fn shown(&self, value: &Duration) -> Json {
        Json::String(show_duration(*value))
    }
}

impl Kind for Size {
    type Value = u64;

    fn parse(&self, text: &str) -> Result<u64, String> {
        let has_unit = text.ends_with(|last: char| last.is_ascii_alphabetic());
        let parsed = text.parse::<ByteSize>().ok().filter(|_| has_unit).map(|size| size.as_u64());
        parsed.filter(|bytes| self.0.contains(bytes)).ok_or_else(|| {
            let (least, most) = (show_size(*self.0.start()), show_size(*self.0.end()));
            let meant = text.trim().parse::<u64>().ok();
            let hint = match meant.filter(|number| self.0.contains(&number.saturating_mul(1 << 20))) {
                Some(number) => format!("; if MiB are meant, write \"{number}MiB\""),
                None => meant
                    .filter(|bytes| self.0.contains(bytes))
                    .map(|n| format!("; write \"{n}B\""))
                    .unwrap_or_default(),
            };
            format!("allowed is a size with its unit, from \"{least}\" to \"{most}\"{hint}")
        })
    }

    fn note(&self, text: &str) -> Option<String> {
        let number = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit = text.get(number.len()..)?.to_ascii_uppercase();
        let prefix = unit.strip_suffix('B').unwrap_or(&unit);
        if prefix.is_empty() || prefix.ends_with('I') {
            return None;
        }
        let bytes = text.parse::<ByteSize>().ok()?.as_u64();
        Some(format!(
            "that is {bytes} bytes, counted in thousands; if 1024s are meant, write \"{}{prefix}iB\"",
            number.trim()
        ))
    }

    fn shown(&self, value: &u64) -> Json {
        Json::String(show_size(*value))
    }
}

impl Kind for AbsolutePath {
    type Value = PathBuf;

    fn parse(&self, text: &str) -> Result<PathBuf, String> {
        words::absolute(text).ok_or_else(|| "allowed is a path that begins with /".to_owned())
    }

    fn shown(&self, value: &PathBuf) -> Json {
        Json::String(value.display().to_string())
    }
}

impl Kind for NodeAddress {
    type Value = IpAddr;

    fn parse(&self, text: &str) -> Result<IpAddr, String> {
        let ip: IpAddr = text.parse().map_err(|_| "allowed is an address: \"10.0.0.1\", \"fd00::1\"".to_owned())?;
        if words::is_link_local_v6(ip) {
            return Err("an address of fe80::/10 holds on one link only, and pods are on others".to_owned());
        }
        words::can_be_listened_on(ip).map(|()| ip).map_err(|refused| refused.to_string())
    }

    fn shown(&self, value: &IpAddr) -> Json {
        Json::String(value.to_string())
    }
}

impl Kind for Network {
    type Value = IpNet;

    fn parse(&self, text: &str) -> Result<IpNet, String> {
        words::network(text).map_err(|hint| {
            let allowed = "allowed is a network: \"10.96.0.0/12\", \"fd00:96::/112\"";
            hint.map_or_else(|| allowed.to_owned(), |hint| hint.to_string())
        })
    }

    fn shown(&self, value: &IpNet) -> Json {
        Json::String(value.to_string())
    }
}

impl Kind for Upstream {
    type Value = Endpoint;

    fn parse(&self, text: &str) -> Result<Endpoint, String> {
        let endpoint: Endpoint = text.parse().map_err(|allowed| {
            let hint = words::not_a_server(text).map(|hint| format!("; {hint}")).unwrap_or_default();
            format!("allowed is {allowed}{hint}")
        })?;
        let server = &endpoint.server;
        match server.ip().to_canonical() {
            ip if ip.is_unspecified() || words::is_for_many(ip) => Err("no server can have this address".to_owned()),
            ip if words::is_link_local_v6(ip) && server.scope().is_none() => Err(words::NEEDS_INTERFACE.to_owned()),
            _ => Ok(endpoint),
        }
    }

    fn note(&self, text: &str) -> Option<String> {
        if let Ok(Endpoint { server, security: Security::Plain }) = text.parse()
            && server.port() == TLS_PORT
        {
            return Some(format!(
                "asked in plain text, though {TLS_PORT} is the port for TLS; write \"tls://{server}\" for that"
            ));
        }
        words::ends_like_a_port(text).map(|asked| format!("port 53 of this address is asked; {asked}"))
    }

    fn shown(&self, value: &Endpoint) -> Json {
        Json::String(value.to_string())
    }
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({reason})") }
}

/// In the largest unit that holds its whole seconds: `1d`, `90m`.
fn show_duration(duration: Duration) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let seconds = duration.as_secs();
    match units.iter().find(|(unit, _)| seconds.is_multiple_of(*unit)) {
        Some((unit, name)) if seconds > 0 => format!("{}{name}", seconds / unit),
        _ => "0s".to_owned(),
    }
}

/// In the largest unit that holds it whole: `32MiB`, `1500B`.
fn show_size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")];
    match units.iter().find(|(unit, _)| bytes.is_multiple_of(*unit)) {
        Some((unit, name)) if bytes > 0 => format!("{}{name}", bytes / unit),
        _ => "0B".to_owned(),
    }
}
