//! `onward explain`: what would become of a query, as the daemon says; with `--ask`, what becomes of one.

use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use super::{Failure, daemon};
use crate::clock;
use crate::control::client;
use crate::control::explain::{Cached, Explanation};
use crate::control::monitor::Event;

/// `onward explain`.
#[derive(Debug, Clone, Default, Args)]
#[command(
    about = "Say what would become of a query: who would be asked, why, and what is in the cache",
    long_about = "Say what would become of a query: whether the client may ask, which servers would be asked in which \
                  order and why, and what is in the cache, until when, from whom.\n\nWith --ask the servers are asked now, \
                  whatever is in the cache, and each step is shown with its time, as it happens; the response is \
                  remembered. That is for root, and for the user that Onward runs as.",
    after_help = "Examples:\n  onward explain www.example.com\n  onward explain db.corp.example AAAA --from 10.244.0.10\n  \
                  onward explain www.example.com --ask"
)]
pub struct ExplainArgs {
    /// The name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The type of record: a name as AAAA, or a number
    #[arg(value_name = "TYPE", default_value = "A")]
    pub record_type: String,
    /// Say whether a client with this address may ask
    #[arg(long, value_name = "ADDRESS")]
    pub from: Option<IpAddr>,
    /// Ask the servers now, and show how it goes
    #[arg(long, conflicts_with = "json")]
    pub ask: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Ask the daemon here, instead of where the configuration says
    #[arg(long, value_name = "PATH")]
    pub control_socket: Option<PathBuf>,
}

/// Time for which steps are shown at most. A client would have its answer after 1.8 s; a lookup goes on for 6 s, so
/// that the next client has one.
const ASKING: Duration = Duration::from_millis(6_500);

#[derive(Deserialize)]
struct Explained {
    explanation: Explanation,
}

#[derive(Deserialize)]
struct Asked {
    begun: bool,
}

#[derive(Deserialize)]
struct Events {
    events: Vec<Event>,
}

/// Does it.
pub(super) fn run(args: &ExplainArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let socket = daemon::socket(args.control_socket.as_deref());
    let asked = json!({ "name": args.name, "record_type": args.record_type, "from": args.from });
    let Explained { explanation } = client::call(&socket, "Explain", asked.clone())?;
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &explanation).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    out.write_all(text(&explanation, args).as_bytes())?;
    if args.ask {
        out.flush()?;
        ask(&socket, &asked, &explanation, out)?;
    }
    Ok(())
}

fn text(explanation: &Explanation, args: &ExplainArgs) -> String {
    let Explanation { name, record_type, allowed, answered_here, route, upstreams, cached, .. } = explanation;
    let mut text = format!("{name} {record_type}\n");
    if let (Some(from), Some(allowed)) = (args.from, allowed) {
        let word = if *allowed { "may ask" } else { "may not ask: it is in no network of `allow`" };
        text.push_str(&format!("  {from} {word}\n"));
    }
    if cached.is_empty() {
        text.push_str("  nothing is in the cache\n");
    }
    cached.iter().for_each(|cached| text.push_str(&format!("  in the cache{}\n", one_cached(cached))));
    if let Some(why) = answered_here {
        text.push_str(&format!("  answered here: {why}\n"));
        return text;
    }
    match route {
        Some(route) if !upstreams.is_empty() => {
            let names = if route == "." { "all names".to_owned() } else { format!("names under {route}") };
            text.push_str(&format!("  asked of the servers for {names}:\n"));
        }
        Some(route) if route != "." => {
            text.push_str(&format!("  no server of the route for {route} may be asked: it fails\n"));
        }
        Some(_) | None => text.push_str("  no server is known: it fails\n"),
    }
    for upstream in upstreams {
        let source = &upstream.source;
        text.push_str(&format!("    {} ({}), from {source}: {}\n", upstream.server, upstream.state, upstream.when));
    }
    text
}

fn one_cached(cached: &Cached) -> String {
    let Cached { dnssec, checking_disabled, rcode, answers, age_seconds, left_seconds, may_serve, upstream } = cached;
    let whom = match (dnssec, checking_disabled) {
        (false, false) => "",
        (true, false) => ", for clients with DO",
        (false, true) => ", for clients with CD",
        (true, true) => ", for clients with DO and CD",
    };
    let by = upstream.as_ref().map_or_else(|| ", a failure".to_owned(), |upstream| format!(", from {upstream}"));
    let left = match (*left_seconds, may_serve) {
        (left @ 1.., _) => format!("for another {left} s"),
        (ended, true) => format!("ended {} s ago, given only where no server answers", -ended),
        (ended, false) => format!("ended {} s ago, given no more", -ended),
    };
    let records = if *answers == 1 { "record" } else { "records" };
    format!("{whom}: {rcode} with {answers} {records}{by}, since {age_seconds} s, {left}")
}

/// Has the servers asked, and shows each step as it happens.
fn ask(
    socket: &Path,
    asked: &serde_json::Value,
    explanation: &Explanation,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut replies = client::stream(socket, "Monitor", json!({ "name": explanation.name, "steps": true }))?;
    replies.next::<Events>(ASKING)?; // from now on nothing is missed
    let Asked { begun } = client::call(socket, "Ask", asked.clone())?;
    writeln!(out, "  {}", if begun { "asking now:" } else { "the same is being asked already:" })?;
    let (until, mut began) = (clock::now() + ASKING, None);
    loop {
        let left = until.saturating_duration_since(clock::now());
        let Some(Events { events }) = replies.next::<Events>(left.max(Duration::from_millis(1)))? else {
            writeln!(out, "    no end came within {} ms", ASKING.as_millis())?;
            return Ok(());
        };
        let ours = |event: &&Event| event.name == explanation.name && event.record_type == explanation.record_type;
        for event in events.iter().filter(ours) {
            let since = event.at_microseconds.saturating_sub(*began.get_or_insert(event.at_microseconds));
            writeln!(out, "    {:>6}.{} ms  {}", since / 1000, since % 1000 / 100, step(event))?;
            out.flush()?;
            if matches!(event.what.as_str(), "refresh" | "miss") {
                return Ok(());
            }
        }
    }
}

fn step(event: &Event) -> String {
    let server = event.upstream.as_deref().unwrap_or("no server");
    let (over, rcode) = (event.transport.to_uppercase(), event.rcode.as_deref().unwrap_or("nothing"));
    match event.what.as_str() {
        "sent" => format!("asked {server} over {over}"),
        "heard" => format!("{server} said {rcode}"),
        "silent" => format!("{server} said nothing"),
        _ => match &event.upstream {
            Some(server) => format!("the answer: {rcode}, by {server}"),
            None => format!("the answer: {rcode}, by Onward itself"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::explain::Candidate;

    #[test]
    fn what_is_known_is_said_in_sentences() {
        let args = ExplainArgs { from: Some([10, 0, 0, 9].into()), ..ExplainArgs::default() };
        let explanation = Explanation {
            name: "www.example".to_owned(),
            record_type: "A".to_owned(),
            allowed: Some(false),
            route: Some(".".to_owned()),
            upstreams: vec![Candidate {
                server: "10.0.0.2:53".to_owned(),
                source: "/etc/resolv.conf".to_owned(),
                state: "up".to_owned(),
                when: "asked first".to_owned(),
            }],
            cached: vec![
                Cached {
                    rcode: "NOERROR".to_owned(),
                    answers: 2,
                    age_seconds: 5,
                    left_seconds: 55,
                    upstream: Some("10.0.0.2:53".to_owned()),
                    ..Cached::default()
                },
                Cached { dnssec: true, rcode: "SERVFAIL".to_owned(), left_seconds: -2, ..Cached::default() },
            ],
            ..Explanation::default()
        };
        let said = text(&explanation, &args);
        for line in [
            "  10.0.0.9 may not ask: it is in no network of `allow`",
            "  in the cache: NOERROR with 2 records, from 10.0.0.2:53, since 5 s, for another 55 s",
            "  in the cache, for clients with DO: SERVFAIL with 0 records, a failure, since 0 s, ended 2 s ago, given no more",
            "  asked of the servers for all names:",
            "    10.0.0.2:53 (up), from /etc/resolv.conf: asked first",
        ] {
            assert!(said.lines().any(|it| it == line), "{line} in:\n{said}");
        }
        let none = Explanation { route: Some(".".to_owned()), ..Explanation::default() };
        assert!(text(&none, &args).contains("no server is known"));
    }
}
