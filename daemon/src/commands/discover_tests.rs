//! What people and programs read of servers, routes and links.

use std::path::Path;

use super::*;
use crate::discovery::{Root, RouteSettings, SourceName};

fn output(text: &str, json: bool) -> String {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::at(directory.path());
    std::fs::create_dir_all(root.path("/etc")).unwrap();
    std::fs::write(root.path("/etc/resolv.conf"), text).unwrap();
    let inputs = Inputs {
        root: &root,
        configured: &[],
        routes: &[],
        sources: &[SourceName::File("/etc/resolv.conf".into())],
        own: &["10.0.0.5:53".parse().unwrap()],
        written: Path::new("/run/onward/resolv.conf"),
    };
    let mut out = Vec::new();
    discover(&mut out, &inputs, json).unwrap();
    String::from_utf8(out).unwrap()
}

const HOST: &str = "search corp.example\noptions edns0\nnameserver 10.0.0.2\nnameserver fd00::2\nnameserver 10.0.0.5\n";

#[test]
fn json_has_the_shape_that_is_promised() {
    let value: serde_json::Value = serde_json::from_str(&output(HOST, true)).unwrap();
    assert_eq!(
        value["candidates"][0],
        serde_json::json!({
            "server": "10.0.0.2:53", "source": "/etc/resolv.conf", "line": 3, "use": true, "reason": null, "note": null
        })
    );
    assert_eq!(value["candidates"][1]["server"], "[fd00::2]:53");
    assert_eq!(value["candidates"][2]["use"], false);
    assert!(value["candidates"][2]["reason"].as_str().unwrap().contains("Onward itself"));
    assert_eq!((&value["search"][0], &value["options"][0]), (&"corp.example".into(), &"edns0".into()));
}

#[test]
fn json_has_what_is_known_of_each_link_and_of_all() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::at(directory.path());
    for (path, text) in [
        (
            "/run/systemd/netif/links/3",
            "DNS=10.8.0.1:5353#dns.example\nDOMAINS=a.example\nROUTE_DOMAINS=corp.example\nDNS_DEFAULT_ROUTE=no\n\
             DNS_OVER_TLS=opportunistic\nDNSSEC=allow-downgrade\n",
        ),
        ("/etc/systemd/resolved.conf", "[Resolve]\nDNS=10.0.0.2\nDomains=~lab.example b.example\nDNSOverTLS=yes\n"),
    ] {
        std::fs::create_dir_all(root.path(path).parent().unwrap()).unwrap();
        std::fs::write(root.path(path), text).unwrap();
    }
    let inputs =
        Inputs { root: &root, configured: &[], routes: &[], sources: &[], own: &[], written: Path::new("/run/x") };
    let mut out = Vec::new();
    discover(&mut out, &inputs, true).unwrap();
    let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let server = |server: &str, name: Option<&str>, source: &str| serde_json::json!({ "server": server, "tls_name": name, "source": source });
    assert_eq!(
        value["links"],
        serde_json::json!([{
            "index": 3,
            "servers": [server("10.8.0.1:5353", Some("dns.example"), "/run/systemd/netif/links/3")],
            "search": ["a.example"],
            "routes": ["corp.example"],
            "default_route": false,
            "encryption": "opportunistic",
            "validation": "allow-downgrade",
        }])
    );
    assert_eq!(
        value["resolved"],
        serde_json::json!({
            "servers": [server("10.0.0.2:53", None, "/etc/systemd/resolved.conf")],
            "fallback": [],
            "search": ["b.example"],
            "routes": ["lab.example"],
            "encryption": "yes",
            "validation": null,
            "hidden_links": false,
        })
    );
}

#[test]
fn people_see_each_candidate_with_its_place_and_why() {
    let text = output(HOST, false);
    assert!(text.starts_with("Upstream servers, from /etc/resolv.conf:\n"), "{text}");
    assert!(text.contains("  10.0.0.2:53   /etc/resolv.conf:3  used\n"), "{text}");
    assert!(text.contains("/etc/resolv.conf:5  not used: Onward itself listens there"), "{text}");
    assert!(text.contains("search: corp.example\noptions: edns0\n"), "{text}");
}

fn resolv_conf(text: &str) -> Result<String, Failure> {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::at(directory.path());
    std::fs::create_dir_all(root.path("/etc")).unwrap();
    std::fs::write(root.path("/etc/resolv.conf"), text).unwrap();
    let sources = [SourceName::File("/etc/resolv.conf".into())];
    let own = ["10.0.0.5:53".parse().unwrap()];
    let inputs = Inputs {
        root: &root,
        configured: &[],
        routes: &[],
        sources: &sources,
        own: &own,
        written: Path::new("/run/onward/x"),
    };
    let mut out = Vec::new();
    print_resolv_conf(&mut out, &look(&inputs), &kubelet_resolv_conf::Settings::default())?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn a_file_for_a_time_without_onward_names_the_servers_and_not_onward() {
    let text = resolv_conf(HOST).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(lines, ["nameserver 10.0.0.2", "nameserver fd00::2", "search corp.example", "options edns0"]);
    assert!(text.contains("when it left this node"), "{text}");
}

#[test]
fn servers_that_pods_cannot_ask_make_no_file() {
    let told = resolv_conf("nameserver 10.0.0.5\n").unwrap_err();
    assert_eq!(told.code(), 78);
    assert!(told.to_string().contains("(there are none)"), "{told}");
}

#[test]
fn a_route_stands_by_itself_with_each_of_its_servers() {
    let directory = tempfile::tempdir().unwrap();
    let root = Root::at(directory.path());
    let routes = [RouteSettings {
        domains: vec!["corp.example".parse().unwrap(), "10.in-addr.arpa".parse().unwrap()],
        servers: vec!["10.9.0.2".parse().unwrap(), "10.0.0.5".parse().unwrap()],
        equivalent: None,
    }];
    let inputs = Inputs {
        root: &root,
        configured: &["192.0.2.8".parse().unwrap()],
        routes: &routes,
        sources: &[],
        own: &["10.0.0.5:53".parse().unwrap()],
        written: Path::new("/run/onward/resolv.conf"),
    };
    let [mut text, mut json] = [Vec::new(), Vec::new()];
    discover(&mut text, &inputs, false).unwrap();
    discover(&mut json, &inputs, true).unwrap();
    let text = String::from_utf8(text).unwrap();
    let expected = "  192.0.2.8:53  configuration  used\nFor corp.example, 10.in-addr.arpa:\n  10.9.0.2:53  configuration  \
                    used\n  10.0.0.5:53  configuration  not used: Onward itself listens there";
    assert!(text.contains(expected), "{text}");
    let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(value["routes"][0]["domains"], serde_json::json!(["corp.example", "10.in-addr.arpa"]));
    assert_eq!(value["routes"][0]["candidates"][1]["use"], false);
}

#[test]
fn nothing_found_says_what_to_do() {
    let text = output("nameserver 0.0.0.0\n", false);
    assert!(text.contains("No upstream server found. Name one in `upstreams.servers`"), "{text}");
    assert!(text.contains("unspecified"), "{text}");
}
