//! The interface as clients meet it, and its description held against the shapes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::interface::{Rights, answer};
use super::message::{Call, Reply};
use super::status::{
    Blocked, Cache, Configuration, File, List, Listener, Overall, Queries, Refused, Status, Upstream, Verdict,
};
use super::*;

struct Fake;

struct Quiet;

impl Watching for Quiet {
    fn take(&mut self) -> (Vec<monitor::Event>, u64) {
        (vec![monitor::Event::default()], 3)
    }
}

impl Desk for Fake {
    async fn status(&self) -> Option<Arc<Status>> {
        Some(Arc::new(Status { state: Overall::NoDns, pid: 7, ..Status::default() }))
    }

    async fn explain(&self, question: Question) -> Option<Explanation> {
        Some(Explanation { allowed: question.from.map(|from| from.is_loopback()), ..Explanation::default() })
    }

    fn ask(&self, question: Question) -> bool {
        question.record_type == 28
    }

    fn watch(&self, _: Filter) -> impl Watching + 'static {
        Quiet
    }

    async fn flush(&self, names: Names) -> usize {
        match names {
            Names::All => 100,
            Names::Under(suffix) => suffix.len(),
            Names::One(name) => name.len(),
        }
    }
}

async fn call(method: &str, parameters: Value, rights: Rights) -> Reply {
    let call = Call { method: method.to_owned(), parameters, ..Call::default() };
    answer(&call, rights, &Fake).await
}

fn error(reply: &Reply) -> Option<&str> {
    reply.error.as_deref()
}

#[tokio::test]
async fn the_service_describes_itself() {
    let info = call("org.varlink.service.GetInfo", Value::Null, Rights::Ask).await.parameters;
    assert_eq!(info["interfaces"], json!(["org.varlink.service", "io.onward.Control"]));
    for interface in ["org.varlink.service", "io.onward.Control"] {
        let named = json!({ "interface": interface });
        let reply = call("org.varlink.service.GetInterfaceDescription", named, Rights::Ask).await;
        assert!(reply.parameters["description"].as_str().unwrap().contains(&format!("interface {interface}\n")));
    }
}

#[tokio::test]
async fn what_is_not_known_or_not_right_has_the_error_that_varlink_has_for_it() {
    for (method, parameters, expected) in [
        ("io.onward.Control.Nothing", json!({}), "org.varlink.service.MethodNotFound"),
        ("io.other.Thing", json!({}), "org.varlink.service.InterfaceNotFound"),
        ("Status", json!({}), "org.varlink.service.InvalidParameter"),
        ("org.varlink.service.GetInterfaceDescription", json!({}), "org.varlink.service.InvalidParameter"),
        (
            "org.varlink.service.GetInterfaceDescription",
            json!({ "interface": "io.other" }),
            "org.varlink.service.InterfaceNotFound",
        ),
        ("io.onward.Control.Flush", json!({ "name": 7 }), "org.varlink.service.InvalidParameter"),
        ("io.onward.Control.Flush", json!({ "names": "a" }), "org.varlink.service.InvalidParameter"),
        ("io.onward.Control.Flush", json!({ "name": "a", "suffix": "b" }), "org.varlink.service.InvalidParameter"),
        ("io.onward.Control.Flush", json!({ "name": "a..b" }), "io.onward.Control.NotAName"),
        ("io.onward.Control.Explain", json!({ "name": "a" }), "org.varlink.service.InvalidParameter"),
        (
            "io.onward.Control.Explain",
            json!({ "name": "a", "record_type": "NO" }),
            "org.varlink.service.InvalidParameter",
        ),
        ("io.onward.Control.Monitor", json!({}), "org.varlink.service.ExpectedMore"),
    ] {
        let reply = call(method, parameters, Rights::Change).await;
        assert_eq!(error(&reply), Some(expected), "{method}");
    }
}

#[tokio::test]
async fn who_may_only_ask_forgets_nothing() {
    let denied = call("io.onward.Control.Flush", json!({}), Rights::Ask).await;
    assert_eq!(error(&denied), Some("org.varlink.service.PermissionDenied"));
    for (parameters, forgotten) in
        [(json!({}), 100), (json!({ "name": "A.example" }), 11), (json!({ "suffix": "." }), 1)]
    {
        let reply = call("io.onward.Control.Flush", parameters, Rights::Change).await;
        assert_eq!(reply.parameters, json!({ "forgotten": forgotten }));
    }
}

#[tokio::test]
async fn a_question_is_read_with_its_type_and_its_client() {
    let asked = json!({ "name": "A.example", "record_type": "aaaa", "from": "127.0.0.1" });
    let reply = call("io.onward.Control.Explain", asked.clone(), Rights::Ask).await;
    assert_eq!(reply.parameters["explanation"]["allowed"], true, "{reply:?}");
    assert_eq!(call("io.onward.Control.Ask", asked.clone(), Rights::Change).await.parameters, json!({ "begun": true }));
    let denied = call("io.onward.Control.Ask", asked, Rights::Ask).await;
    assert_eq!(error(&denied), Some("org.varlink.service.PermissionDenied"));
}

#[test]
fn names_are_meant_one_by_one_or_with_all_below_them() {
    let wire = crate::wire::name::wire;
    let name = wire("a.corp.example");
    assert!(Names::All.have(&name) && Names::One(name.clone()).have(&name));
    assert!(Names::Under(wire("corp.example")).have(&name) && !Names::One(wire("corp.example")).have(&name));
    assert!(!Names::Under(wire("orp.example")).have(&name));
}

#[test]
fn a_daemon_of_another_version_is_understood() {
    let status = json!({ "state": "glorious", "new": { "field": 1 }, "upstreams": [{ "server": "10.0.0.2:53" }] });
    let status: Status = serde_json::from_value(status).unwrap();
    assert_eq!((status.state, status.upstreams[0].server.as_str()), (Overall::Unknown, "10.0.0.2:53"));
}

/// The fields of a type in the description: a word and a colon, within the parentheses that follow the type's name.
fn described(name: &str) -> BTreeSet<String> {
    let text = include_str!("io.onward.Control.varlink");
    let start = text.find(&format!("type {name} (")).unwrap_or_else(|| panic!("{name} is not described"));
    let body = &text[start + format!("type {name} (").len()..];
    let mut depth = 1;
    let end = body.find(|letter| {
        depth += match letter {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        depth == 0
    });
    let fields = body[..end.unwrap()].split(':').filter_map(|part| part.split([' ', '\n', ',', '(']).next_back());
    let mut fields: Vec<String> = fields.map(str::to_owned).collect();
    fields.pop(); // what follows the last colon is a type
    fields.into_iter().collect()
}

#[test]
fn the_description_has_the_fields_that_are_sent() {
    fn check<T: Default + serde::Serialize>(name: &str) {
        let Value::Object(sent) = json!(T::default()) else { panic!("{name} is no object") };
        assert_eq!(described(name), sent.keys().cloned().collect(), "{name}");
    }
    check::<Status>("Status");
    check::<Listener>("Listener");
    check::<Blocked>("Blocked");
    check::<File>("File");
    check::<Upstream>("Upstream");
    check::<Refused>("Refused");
    check::<Verdict>("Verdict");
    check::<Cache>("Cache");
    check::<Queries>("Queries");
    check::<List>("List");
    check::<Configuration>("Configuration");
    check::<Explanation>("Explanation");
    check::<explain::Candidate>("Candidate");
    check::<explain::Cached>("Cached");
    check::<monitor::Event>("Event");
}
