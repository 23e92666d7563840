//! `onward monitor`: what happens, as the daemon tells it: each query, or what comes most often.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::{Failure, daemon};
use crate::clock;
use crate::control::client;
use crate::control::monitor::{Event, Wanted};

/// `onward monitor`.
#[derive(Debug, Clone, Default, Args)]
#[command(
    about = "Show queries as they are answered: client, name, type, how, by whom, how long it took",
    long_about = "Show queries as they are answered: the time, the client, the name and type, how it was answered (hit, stale, \
                  miss, own, refresh), by which server, how long that took, the response code, and the extended error \
                  (RFC 8914).\n\nWhile nobody watches it costs nothing. Where more happens than can be shown, it says how \
                  many were left out.",
    after_help = "Examples:\n  onward monitor\n  onward monitor --name corp.example --failures\n  \
                  onward monitor --client 10.244.3.0/24 --slow 100\n  onward monitor --top --seconds 10"
)]
pub struct MonitorArgs {
    /// Only names that are this one or below it
    #[arg(long, value_name = "SUFFIX")]
    pub name: Option<String>,
    /// Only clients of this network, or with this address
    #[arg(long, value_name = "NET")]
    pub client: Option<String>,
    /// Only what failed
    #[arg(long)]
    pub failures: bool,
    /// Only what took this number of milliseconds, or longer
    #[arg(long, value_name = "MS")]
    pub slow: Option<u64>,
    /// Show what goes on between Onward and servers, too
    #[arg(long)]
    pub steps: bool,
    /// Show the names, clients and servers that come most often, instead of each query
    #[arg(long)]
    pub top: bool,
    /// End after this number of seconds
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<u64>,
    /// Print a JSON object for each query, a line each; with --top one in all
    #[arg(long)]
    pub json: bool,
    /// Ask the daemon here, instead of where the configuration says
    #[arg(long, value_name = "PATH")]
    pub control_socket: Option<PathBuf>,
}

/// Time between two tables of `--top`.
const TABLE: Duration = Duration::from_secs(1);
/// Maximum number of lines for each kind in a table.
const LINES: usize = 10;
/// Maximum number of names, clients and servers that are counted apart; what comes later is one of the rest.
const COUNTED: usize = 100_000;

#[derive(Deserialize)]
struct Events {
    events: Vec<Event>,
    missed: u64,
}

/// Does it.
pub(super) fn run(args: &MonitorArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let wanted = Wanted {
        name: args.name.clone(),
        client: args.client.clone(),
        failures: args.failures.then_some(true),
        slow_milliseconds: args.slow,
        steps: args.steps.then_some(true),
    };
    wanted.read().map_err(|(parameter, why)| Failure::Usage(format!("--{parameter}: {why}")))?;
    let socket = daemon::socket(args.control_socket.as_deref());
    let mut replies = client::stream(&socket, "Monitor", json!(wanted))?;
    let until = args.seconds.map(|seconds| clock::now() + Duration::from_secs(seconds));
    let mut top = args.top.then(Top::default);
    let is_terminal = std::io::stdout().is_terminal();
    let mut next = clock::now() + TABLE;
    loop {
        let now = clock::now();
        if until.is_some_and(|until| now >= until) {
            break;
        }
        let patience = until.map_or(TABLE, |until| until.saturating_duration_since(now).min(TABLE));
        if let Some(Events { events, missed }) = replies.next(patience.max(Duration::from_millis(1)))? {
            match &mut top {
                Some(top) => top.count(&events, missed),
                None => show(&events, missed, args.json, out)?,
            }
            out.flush()?;
        }
        if let Some(top) = top.as_ref().filter(|_| is_terminal && !args.json && clock::now() >= next) {
            let text = top.text(now).replace('\n', "\x1b[K\n");
            write!(out, "\x1b[H{text}\x1b[J")?;
            out.flush()?;
            next = clock::now() + TABLE;
        }
    }
    match top {
        Some(top) if args.json => writeln!(out, "{}", top.json())?,
        Some(top) if !is_terminal => out.write_all(top.text(clock::now()).as_bytes())?,
        Some(_) | None => {}
    }
    Ok(())
}

fn show(events: &[Event], missed: u64, as_json: bool, out: &mut dyn Write) -> std::io::Result<()> {
    for event in events {
        if as_json {
            writeln!(out, "{}", json!(event))?;
        } else {
            writeln!(out, "{}", line(event))?;
        }
    }
    match (missed, as_json) {
        (0, _) => Ok(()),
        (_, true) => writeln!(out, "{}", json!({ "missed": missed })),
        (_, false) => writeln!(out, "… {missed} more were left out: too many to show (--name, --client, --failures)"),
    }
}

/// An event as a line: the time of day in UTC, then what is known, from the client to the response.
fn line(event: &Event) -> String {
    let micros = event.at_microseconds % 86_400_000_000;
    let (seconds, millis) = (micros / 1_000_000, micros / 1_000 % 1_000);
    let time = format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let over = if event.transport == "tcp" { " over TCP" } else { "" };
    let client = event.client.as_deref().unwrap_or("-");
    let took = event.took_microseconds.map(|micros| format!(" in {}.{} ms", micros / 1_000, micros % 1_000 / 100));
    let by = event.upstream.as_deref().map(|upstream| format!(" {upstream}"));
    let error = event.extended_error.map(|code| format!(" EDE {code}"));
    format!(
        "{time} {client:<22}{over} {} {} {}{}{} {}{}",
        event.name,
        event.record_type,
        event.what,
        by.unwrap_or_default(),
        took.unwrap_or_default(),
        event.rcode.as_deref().unwrap_or("-"),
        error.unwrap_or_default()
    )
}

/// What comes most often.
#[derive(Debug, Default)]
struct Top {
    names: HashMap<String, u64>,
    clients: HashMap<String, u64>,
    upstreams: HashMap<String, u64>,
    all: u64,
    missed: u64,
    began: Option<Instant>,
}

impl Top {
    fn count(&mut self, events: &[Event], missed: u64) {
        self.began.get_or_insert_with(clock::now);
        self.missed += missed;
        for event in events {
            self.all += 1;
            add(&mut self.names, &format!("{} {}", event.name, event.record_type));
            if let Some(client) = &event.client {
                add(&mut self.clients, client.rsplit_once(':').map_or(client.as_str(), |(address, _)| address));
            }
            if let Some(upstream) = &event.upstream {
                add(&mut self.upstreams, upstream);
            }
        }
    }

    fn kinds(&self) -> [(&'static str, Vec<(&str, u64)>); 3] {
        [("names", &self.names), ("clients", &self.clients), ("upstreams", &self.upstreams)].map(|(kind, counts)| {
            let mut counts: Vec<_> = counts.iter().map(|(what, count)| (what.as_str(), *count)).collect();
            counts.sort_by_key(|(what, count)| (std::cmp::Reverse(*count), *what));
            counts.truncate(LINES);
            (kind, counts)
        })
    }

    fn text(&self, now: Instant) -> String {
        let seconds = self.began.map_or(0, |began| now.saturating_duration_since(began).as_secs());
        let missed = if self.missed > 0 { format!(", {} more left out", self.missed) } else { String::new() };
        let mut text = format!("{} in {seconds} s{missed}\n", self.all);
        for (kind, counts) in self.kinds() {
            text.push_str(&format!("\n{kind}\n"));
            counts.iter().for_each(|(what, count)| text.push_str(&format!("{count:>8}  {what}\n")));
        }
        text
    }

    fn json(&self) -> serde_json::Value {
        let mut object = json!({ "all": self.all, "missed": self.missed });
        for (kind, counts) in self.kinds() {
            let list: Vec<_> = counts.iter().map(|(what, count)| json!({ "what": what, "count": count })).collect();
            if let Some(object) = object.as_object_mut() {
                object.insert(kind.to_owned(), json!(list));
            }
        }
        object
    }
}

fn add(counts: &mut HashMap<String, u64>, what: &str) {
    let is_full = counts.len() >= COUNTED && !counts.contains_key(what);
    *counts.entry(if is_full { "(others)" } else { what }.to_owned()).or_default() += 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, client: Option<&str>, upstream: Option<&str>) -> Event {
        Event {
            at_microseconds: 86_400_000_000 + 3_723_004_000,
            what: "miss".to_owned(),
            client: client.map(str::to_owned),
            transport: "udp".to_owned(),
            name: name.to_owned(),
            record_type: "A".to_owned(),
            upstream: upstream.map(str::to_owned),
            took_microseconds: Some(12_340),
            rcode: Some("SERVFAIL".to_owned()),
            extended_error: Some(22),
        }
    }

    #[test]
    fn a_line_has_all_that_is_known() {
        let one = line(&event("www.example", Some("10.244.0.10:4000"), Some("10.0.0.2:53")));
        assert_eq!(
            one,
            "01:02:03.004 10.244.0.10:4000       www.example A miss 10.0.0.2:53 in 12.3 ms SERVFAIL EDE 22"
        );
    }

    #[test]
    fn what_comes_most_often_stands_first() {
        let mut top = Top::default();
        let (often, seldom) =
            (event("often.example", Some("[fd00::9]:4000"), None), event("seldom.example", None, None));
        top.count(&[often.clone(), seldom, often], 7);
        let text = top.text(clock::now());
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("3 in 0 s, 7 more left out"), "{text}");
        assert_eq!(lines[3..5], ["       2  often.example A", "       1  seldom.example A"]);
        assert_eq!(top.json()["clients"][0], json!({ "what": "[fd00::9]", "count": 2 }));
    }
}
