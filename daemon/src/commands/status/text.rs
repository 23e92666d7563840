//! `onward status` as people read it. Pure.

use std::fmt::Write;
use std::time::Duration;

use bytesize::ByteSize;

use super::reach::Reach;
use super::{FileOnDisk, Shown};
use crate::control::status::{Overall, Status, Upstream};

/// Maximum number of servers that are not asked, of remarks on the list, and of verdicts, that are shown.
const LINES_MOST: usize = 10;
/// Maximum number of domains of a server that are shown.
const NAMES_MOST: usize = 3;

/// Whether there are colours (ECMA-48, SGR).
#[derive(Debug, Clone, Copy)]
pub(super) struct Paint {
    pub(super) colours: bool,
}

impl Paint {
    fn good(self, text: &str) -> String {
        self.with("32", text)
    }

    fn poor(self, text: &str) -> String {
        self.with("33", text)
    }

    fn bad(self, text: &str) -> String {
        self.with("31", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Writes the whole screen.
pub(super) fn render(shown: &Shown, paint: Paint) -> String {
    let mut screen = Screen { text: String::new(), paint };
    match &shown.daemon {
        Ok(status) => {
            screen.head(status);
            screen.listeners(status);
            screen.file(&shown.file, status.file.failed.as_deref());
            screen.upstreams(status);
            screen.refused(status);
            screen.verdicts(status);
            screen.cache(status);
            screen.configuration(status);
        }
        Err(error) => {
            let why = error.to_string();
            screen.line("Onward", &paint.bad(why.trim_start_matches("Onward ")));
            screen.line("", "`systemctl status onward` and `journalctl -xu onward` say why");
            screen.file(&shown.file, None);
        }
    }
    screen.text
}

struct Screen {
    text: String,
    paint: Paint,
}

impl Screen {
    fn line(&mut self, title: &str, text: &str) {
        let line = format!("{title:<14}{text}");
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    fn head(&mut self, status: &Status) {
        let paint = self.paint;
        let word = match status.state {
            Overall::Ok => paint.good("ok"),
            Overall::Degraded => paint.poor("degraded"),
            Overall::NoDns => paint.bad("no DNS"),
            Overall::Unknown => paint.poor("of a version that this command does not know"),
        };
        let Status { version, uptime_seconds, pid, .. } = status;
        self.line("Onward", &format!("{word}   version {version}, up for {}, process {pid}", span(*uptime_seconds)));
        for trouble in &status.troubles {
            self.line("", &paint.bad(&format!("! {trouble}")));
        }
    }

    fn listeners(&mut self, status: &Status) {
        let mut title = "Listens on";
        for listener in &status.listeners {
            let check = match listener.check.as_str() {
                "answers" => self.paint.good("answers"),
                "silent" => self.paint.bad("does not answer"),
                _ => "not asked yet".to_owned(),
            };
            let role = if listener.role == "former" { ", known to pods from earlier" } else { "" };
            self.line(title, &format!("{} (UDP and TCP) {check}{role}", listener.address));
            title = "";
        }
        for blocked in &status.blocked {
            self.line(title, &self.paint.bad(&format!("not on {}: {}", blocked.address, blocked.why)));
            title = "";
        }
        if status.listeners.is_empty() && status.blocked.is_empty() {
            self.line(title, &self.paint.bad("no address"));
        }
    }

    fn file(&mut self, file: &FileOnDisk, failed: Option<&str>) {
        let Some(age) = file.age_seconds else {
            self.line("For kubelet", &self.paint.bad(&format!("{} is not there", file.path)));
            return;
        };
        self.line("For kubelet", &format!("{}, written {} ago", file.path, span(age)));
        for Reach { address, udp, tcp } in &file.addresses {
            let answers = match (udp, tcp) {
                (true, true) => self.paint.good("answers over UDP and TCP"),
                (true, false) => self.paint.bad("answers over UDP, not over TCP"),
                (false, true) => self.paint.bad("answers over TCP, not over UDP"),
                (false, false) => self.paint.bad("does not answer"),
            };
            self.line("", &format!("{address} {answers}"));
        }
        if file.addresses.is_empty() {
            self.line("", &self.paint.bad("it names no server"));
        }
        if let Some(failed) = failed {
            self.line("", &self.paint.bad(failed));
        }
    }

    fn upstreams(&mut self, status: &Status) {
        let list = &status.list;
        let since = list.age_seconds.map(|age| format!(", these for {}", span(age))).unwrap_or_default();
        match &list.source {
            Some(source) if list.kept => {
                let text = format!("the last good ones of {source}, which names none now{since}");
                self.line("Asks", &self.paint.poor(&text));
            }
            Some(source) => self.line("Asks", &format!("the servers of {source}{since}")),
            None => self.line("Asks", &self.paint.bad("nobody: no source names a server (onward discover)")),
        }
        let width = status.upstreams.iter().map(|upstream| upstream.server.len()).max().unwrap_or(0);
        let mut names: &[String] = &[];
        for upstream in &status.upstreams {
            if upstream.names != names {
                names = &upstream.names;
                self.line("", &format!("for {}", some(names)));
            }
            let text = format!("{:<width$}  {}", upstream.server, self.upstream(upstream));
            self.line("", &text);
        }
    }

    fn upstream(&self, upstream: &Upstream) -> String {
        let state = &upstream.state;
        let padded = format!("{state:<8}");
        let mut text = match state.as_str() {
            "up" => self.paint.good(&padded),
            "slow" | "suspect" => self.paint.poor(&padded),
            _ => self.paint.bad(&padded),
        };
        let _ = match (upstream.median_microseconds, upstream.p99_microseconds) {
            (Some(median), Some(p99)) => write!(text, " median {}, 99 % within {};", millis(median), millis(p99)),
            _ => Ok(()),
        };
        let Upstream { asked, failures, .. } = upstream;
        let _ = write!(text, " {asked} asked, {} failed", share(*failures, *asked));
        if let Some(since) = upstream.since_seconds {
            let _ = write!(text, "; {state} for {}", span(since));
        }
        if let Some(through) = &upstream.through {
            let _ = write!(text, ", through {through}");
        }
        match upstream.answered_seconds {
            Some(ago) if ago >= 60 => drop(write!(text, "; answered last {} ago", span(ago))),
            Some(_) => {}
            None => text.push_str("; has not answered yet"),
        }
        text
    }

    fn refused(&mut self, status: &Status) {
        let mut title = "Does not ask";
        for refused in status.refused.iter().take(LINES_MOST) {
            let line = refused.line.map(|line| format!(":{line}")).unwrap_or_default();
            self.line(title, &format!("{} of {}{line}: {}", refused.server, refused.source, refused.reason));
            title = "";
        }
        self.rest(status.refused.len());
        let mut title = "Remarks";
        for note in status.list.notes.iter().take(LINES_MOST) {
            self.line(title, note);
            title = "";
        }
        self.rest(status.list.notes.len());
    }

    fn verdicts(&mut self, status: &Status) {
        let mut title = "Loop guard";
        for verdict in status.verdicts.iter().take(LINES_MOST) {
            let kind = if verdict.kind == "loop" { "is not asked" } else { "is asked last" };
            let names = if verdict.names == "." { String::new() } else { format!(" under {}", verdict.names) };
            let of_type = verdict.record_type.map(|number| format!(" of type {number}")).unwrap_or_default();
            let text = format!(
                "{} over {} {kind} for names{names}{of_type}: a probe came home through {}, {} ago",
                verdict.server,
                verdict.transport.to_uppercase(),
                verdict.through,
                span(verdict.since_seconds)
            );
            self.line(title, &self.paint.bad(&text));
            title = "";
        }
        self.rest(status.verdicts.len());
    }

    fn rest(&mut self, all: usize) {
        if all > LINES_MOST {
            self.line("", &format!("and {} more (--json)", all - LINES_MOST));
        }
    }

    fn cache(&mut self, status: &Status) {
        let cache = &status.cache;
        let (used, most) = (ByteSize(cache.bytes), ByteSize(cache.limit_bytes));
        let responses = if cache.entries == 1 { "response" } else { "responses" };
        self.line("Remembers", &format!("{} {responses}, {used} of {most}", cache.entries));
        let queries = &status.queries;
        let all = queries.hits + queries.stale + queries.misses;
        self.line("Queries", &format!("{all}, {} of them answered from the cache", share(queries.hits, all)));
        let stale = if queries.stale > 0 { self.paint.poor(&queries.stale.to_string()) } else { "none".to_owned() };
        let failures = share(queries.failures, all);
        let failures = if queries.failures > 0 { self.paint.poor(&failures) } else { failures };
        let text = format!("{stale} with what had ended, {failures} failed, {} wait now", queries.waiting);
        self.line("", &text);
    }

    fn configuration(&mut self, status: &Status) {
        let configuration = &status.configuration;
        let read = format!("read {} ago", span(configuration.age_seconds));
        let text = if configuration.in_force {
            read
        } else {
            self.paint.bad(&format!("the one that worked last, {read}, since the wanted one has faults (onward check)"))
        };
        self.line("Configuration", &text);
    }
}

/// The first of the names, and how many more there are.
fn some(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_MOST).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_MOST) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A number, and what part it is of `all`.
fn share(number: u64, all: u64) -> String {
    match (number, all) {
        (0, _) | (_, 0) => number.to_string(),
        _ => {
            let per_mille = number.saturating_mul(1000) / all;
            format!("{number} ({}.{} %)", per_mille / 10, per_mille % 10)
        }
    }
}

fn millis(micros: u64) -> String {
    match micros {
        0..10_000 => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
        _ => format!("{} ms", micros / 1000),
    }
}

/// A time in its two largest units.
fn span(seconds: u64) -> String {
    let text = humantime::format_duration(Duration::from_secs(seconds)).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
