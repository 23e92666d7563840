//! The dry run: what Onward would use on a host, from where, and what not, without a daemon and without privileges.

use onward_tests::lab::Lab;
use onward_tests::onward;
use serde_json::{Value, json};

fn discover(lab: &Lab) -> Value {
    let (code, said) = onward::run_to_end(&lab.node, &["discover", "--json"]);
    assert_eq!(code, Some(0), "{said}");
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error} in:\n{said}"))
}

/// The candidates, cut down to what is promised.
fn candidates(report: &Value) -> Vec<(String, bool)> {
    let list = report["candidates"].as_array().expect("a list of candidates");
    list.iter().map(|one| (one["server"].as_str().unwrap().to_owned(), one["use"].as_bool().unwrap())).collect()
}

#[test]
fn a_plain_file() {
    let Some(lab) = Lab::new() else { return };
    lab.node.write("/etc/resolv.conf", "# made by hand\n\nnameserver 10.99.0.53\nsearch corp.example\noptions edns0\n");
    let report = discover(&lab);
    let first = &report["candidates"][0];
    assert_eq!(first["server"], json!("10.99.0.53:53"));
    assert_eq!(first["source"], json!("/etc/resolv.conf"));
    assert_eq!(first["line"], json!(3));
    assert_eq!((&first["use"], &first["reason"]), (&json!(true), &Value::Null));
    assert_eq!(report["search"], json!(["corp.example"]));
    assert_eq!(report["options"], json!(["edns0"]));
}

#[test]
fn refused_ones_have_a_reason() {
    let Some(lab) = Lab::new() else { return };
    let refused = ["0.0.0.0", "224.0.0.251", "255.255.255.255", "169.254.20.10", "169.254.25.10"];
    let lines: String = refused.iter().map(|address| format!("nameserver {address}\n")).collect();
    lab.node.write("/etc/resolv.conf", &format!("{lines}nameserver 10.99.0.53\nnameserver fd00::2\n"));
    let report = discover(&lab);
    for candidate in report["candidates"].as_array().unwrap() {
        let server = candidate["server"].as_str().unwrap();
        let bad = refused.iter().any(|address| server.starts_with(address));
        assert_eq!(candidate["use"], json!(!bad), "{candidate}");
        assert_eq!(candidate["reason"].is_string(), bad, "{candidate}");
    }
    let found = candidates(&report);
    for server in ["10.99.0.53:53", "[fd00::2]:53"] {
        assert!(found.contains(&(server.to_owned(), true)), "{server} in {found:?}");
    }
}

#[test]
fn the_stub_of_resolved_is_unwrapped() {
    let Some(lab) = Lab::new() else { return };
    lab.node.write("/etc/resolv.conf", "nameserver 127.0.0.53\noptions edns0 trust-ad\n");
    lab.node.write("/run/systemd/resolve/resolv.conf", "nameserver 10.99.0.53\nnameserver 10.99.0.54\n");
    let used: Vec<_> =
        candidates(&discover(&lab)).into_iter().filter(|(_, used)| *used).map(|(server, _)| server).collect();
    assert_eq!(used, ["10.99.0.53:53", "10.99.0.54:53"]);
}

#[test]
fn a_stub_that_nobody_can_unwrap_is_a_server() {
    let Some(lab) = Lab::new() else { return };
    lab.node.write("/etc/resolv.conf", "nameserver 127.0.0.1\n");
    assert!(candidates(&discover(&lab)).contains(&("127.0.0.1:53".to_owned(), true)));
}
