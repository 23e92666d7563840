//! What is shipped for monitoring, held against the real programs: the rules against promtool and a running Prometheus,
//! the dashboard's queries, the table of metrics, the check for node-problem-detector.

use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use onward_tests::lab::{Lab, NODE, UPSTREAMS};
use onward_tests::query::{Query, types};
use onward_tests::relay::Relay;
use onward_tests::upstream::{Reply, Scripted, Seen};
use onward_tests::{can_run, http, onward, peers, wait};
use serde_json::Value;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// Where Onward gives metrics, and where Prometheus is asked.
const METRICS: &str = "10.99.0.1:9253";
const PROMETHEUS: &str = "10.99.0.1:9090";

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(shipped(path)).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

/// Runs promtool in the folder of the rules. Returns whether it was content, and what it said.
fn promtool(words: &[&str]) -> (bool, String) {
    let said = Command::new(peers::prometheus("promtool")).args(words).current_dir(shipped("metrics")).output();
    let said = said.expect("run promtool");
    (said.status.success(), String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned())
}

/// The names of metrics in a text: words that begin with `onward_`.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let words = text.split(|letter| !is_part(letter)).filter(|word| word.starts_with("onward_"));
    let bare =
        words.map(|word| ["_bucket", "_sum", "_count"].iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word));
    bare.map(str::to_owned).collect()
}

fn configuration(upstreams: &[&str]) -> String {
    format!("listen = [\"{NODE}\"]\n[upstreams]\nservers = {upstreams:?}\n[metrics]\nlisten = \"{METRICS}\"\n")
}

fn answering(lab: &Lab, number: usize) -> Scripted {
    let script = |seen: &Seen| Reply::now(seen.address(ADDRESS.octets(), 300));
    Scripted::start(lab.upstream.net(), Lab::upstream_address(number), script)
}

#[test]
fn the_rules_are_sound_and_each_alert_fires_in_its_case_alone() {
    if !can_run() {
        return;
    }
    for words in [&["check", "rules", "rules.yml"][..], &["test", "rules", "rules_test.yml"]] {
        let (is_well, said) = promtool(words);
        assert!(is_well, "{said}");
    }
    let (rules, tests, readme) = (read("metrics/rules.yml"), read("metrics/rules_test.yml"), read("metrics/README.md"));
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(alerts.len(), 10);
    for alert in alerts {
        let anchor = format!("runbook_url: README.md#{}", alert.to_lowercase());
        assert!(rules.contains(&anchor) && readme.contains(&format!("### {alert}\n")), "{alert} has no runbook");
        let is_tested =
            |what: &str| tests.split("alertname: ").any(|test| test.starts_with(alert) && test.contains(what));
        assert!(is_tested("exp_alerts: []") && is_tested("exp_labels"), "{alert} is not tested both ways");
    }
}

#[test]
fn the_dashboard_and_the_table_speak_of_metrics_that_there_are() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = answering(&lab, 0);
    lab.node.write(onward::CONFIGURATION, &configuration(&UPSTREAMS[..1]));
    let _process = onward::start(&lab.node, NODE, &[]);
    assert_eq!(lab.client().addresses("www.test"), [ADDRESS]);
    let given = http::get(lab.node.net(), METRICS, "/metrics");
    let given: BTreeSet<String> =
        given.lines().filter_map(|line| line.strip_prefix("# TYPE ")).flat_map(names).collect();
    assert_eq!(names(&read("metrics/README.md")), given, "the table has all of them and no other");
    for file in ["metrics/rules.yml", "metrics/rules_test.yml"] {
        let unknown: Vec<_> = names(&read(file)).difference(&given).cloned().collect();
        assert_eq!(unknown, [""; 0], "{file}");
    }

    let dashboard: Value = serde_json::from_str(&read("metrics/dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let (mut rules, mut ids) = ("groups:\n  - name: panels\n    rules:\n".to_owned(), BTreeSet::new());
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64()), "an id comes twice: {panel}");
        let targets = panel["targets"].as_array();
        assert!(panel["type"] == "row" || targets.is_some_and(|targets| !targets.is_empty()), "{panel}");
        for target in targets.into_iter().flatten() {
            let query = target["expr"].as_str().expect("a query");
            let unknown: Vec<_> = names(query).difference(&given).cloned().collect();
            assert_eq!(unknown, [""; 0], "{query}");
            rules.push_str(&format!("      - record: onward:panel\n        expr: {}\n", Value::from(query)));
            rules.push_str(&format!(
                "        labels: {{panel: \"{} {}\"}}\n",
                panel["id"],
                target["refId"].as_str().unwrap()
            ));
        }
    }
    lab.node.write("/etc/panels.yml", &rules);
    let (is_well, said) = promtool(&["check", "rules", &lab.node.path("/etc/panels.yml").display().to_string()]);
    assert!(is_well && ids.len() > 15, "{said}");
}

/// Prometheus with the rules that are shipped, but for their times, which are a few seconds here.
fn watched(lab: &Lab) -> onward_tests::process::Process {
    let mut rules =
        read("metrics/rules.yml").replace("[5m]", "[6s]").replace("[30m]", "[20s]").replace("> 86400", "> 3");
    for time in ["1m", "2m", "5m", "10m"] {
        rules = rules.replace(&format!("for: {time}\n"), "for: 1s\n");
    }
    lab.node.write("/etc/rules.yml", &rules);
    lab.node.write(
        "/etc/prometheus.yml",
        &format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [/etc/rules.yml]\nscrape_configs:\n  \
             - job_name: onward\n    static_configs: [{{targets: [\"{METRICS}\"]}}]\n"
        ),
    );
    let binary = peers::prometheus("prometheus").display().to_string();
    lab.node.start(&[
        binary.as_str(),
        "--config.file=/etc/prometheus.yml",
        "--storage.tsdb.path=/var/lib/prometheus",
        &format!("--web.listen-address={PROMETHEUS}"),
        "--web.console.libraries=/nowhere",
        "--web.console.templates=/nowhere",
    ])
}

fn firing(lab: &Lab) -> BTreeSet<String> {
    let said = http::get(lab.node.net(), PROMETHEUS, "/api/v1/alerts");
    let said: Value = serde_json::from_str(&said).unwrap_or_default();
    let alerts = said["data"]["alerts"].as_array().cloned().unwrap_or_default();
    let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
    firing.filter_map(|alert| alert["labels"]["alertname"].as_str().map(str::to_owned)).collect()
}

/// Asks for new names until an alert fires.
fn wait_for(lab: &Lab, alert: &str) {
    let (mut number, mut last) = (0, BTreeSet::new());
    let fires = wait::until(wait::seconds(60), || {
        number += 1;
        let client = lab.client();
        let _ = client.exchange(&Query::new(&format!("{alert}-{number}.test"), types::A).bytes(), wait::millis(300));
        let _ = client.exchange(&Query::new("old.test", types::A).bytes(), wait::millis(300));
        last = firing(lab);
        last.contains(alert).then_some(())
    });
    let said = http::get(lab.node.net(), PROMETHEUS, "/api/v1/query?query=onward_start_time_seconds[30s]");
    assert!(fires.is_some(), "{alert} does not fire; there are {last:?}; {said}");
}

#[test]
fn a_real_prometheus_finds_each_fault() {
    let Some(lab) = Lab::new() else { return };
    let script = |seen: &Seen| match seen.name().as_str() {
        name if name.starts_with("onwardslow") => Reply::after(wait::millis(1_300), seen.address(ADDRESS.octets(), 1)),
        "old.test" => Reply::now(seen.address(ADDRESS.octets(), 1)),
        _ => Reply::now(seen.address(ADDRESS.octets(), 300)),
    };
    let first = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), script);
    lab.node.write(onward::CONFIGURATION, &configuration(&UPSTREAMS[..1]));
    let mut process = onward::start(&lab.node, NODE, &[]);
    let prometheus = watched(&lab);
    let scraped = wait::until(wait::seconds(20), || {
        let said = http::get(lab.node.net(), PROMETHEUS, "/api/v1/query?query=onward_build_info");
        said.contains("\"version\"").then_some(())
    });
    assert!(scraped.is_some(), "{}", prometheus.output());
    assert_eq!(firing(&lab), BTreeSet::new(), "all is well");
    wait_for(&lab, "OnwardSlow");

    // The only server is dead: what was remembered is given, else a failure.
    drop(first);
    wait_for(&lab, "OnwardNoUpstream");
    wait_for(&lab, "OnwardFailures");
    wait_for(&lab, "OnwardStaleAnswers");

    // A server that sends what it is asked back to the node, beside one that answers.
    let _second = answering(&lab, 1);
    let _loop = Relay::start(lab.upstream.net(), Lab::upstream_address(2), format!("{NODE}:53").parse().unwrap(), 1);
    lab.node.write(onward::CONFIGURATION, &configuration(&[UPSTREAMS[2], UPSTREAMS[1]]));
    process.signal(Signal::SIGHUP);
    wait_for(&lab, "OnwardLoop");

    // A configuration with faults is not taken.
    lab.node.write(onward::CONFIGURATION, "listen = 53\n");
    process.signal(Signal::SIGHUP);
    wait_for(&lab, "OnwardConfigurationNotInForce");

    // No source names a server any more; the last good list is asked.
    lab.node.write("/etc/resolv.conf", &format!("nameserver {}\n", UPSTREAMS[1]));
    lab.node.write(onward::CONFIGURATION, &configuration(&[]));
    process.signal(Signal::SIGHUP);
    assert!(process.wait_for_line("from /etc/resolv.conf", wait::seconds(5)).contains(UPSTREAMS[1]));
    lab.node.write("/etc/resolv.conf", "");
    wait_for(&lab, "OnwardListOld");

    // Something takes the port of the address in the file away.
    lab.node.net().within(|| {
        let rules = "table inet test { chain input { type filter hook input priority 0; udp dport 53 drop; }; }";
        assert!(Command::new("nft").arg(rules).status().expect("run nft").success());
    });
    for _ in 0..4 {
        process.signal(Signal::SIGKILL);
        process.wait(wait::seconds(5));
        process = onward::spawn(&lab.node, &[]);
        std::thread::sleep(wait::millis(1_500));
    }
    wait_for(&lab, "OnwardRestarts");
    wait_for(&lab, "OnwardFileNamesSilentAddress");
    process.signal(Signal::SIGKILL);
    process.wait(wait::seconds(5));
    wait_for(&lab, "OnwardAway");
}

#[test]
fn node_problem_detector_is_told_in_a_line() {
    let Some(lab) = Lab::new() else { return };
    let monitor: Value = serde_json::from_str(&read("node-problem-detector/onward.json")).expect("JSON");
    let conditions: Vec<_> = monitor["conditions"].as_array().unwrap().iter().map(|one| one["type"].clone()).collect();
    assert!(monitor["rules"].as_array().unwrap().iter().all(|rule| conditions.contains(&rule["condition"])));
    let script = shipped("node-problem-detector/node-problem").display().to_string();
    let folder = peers::onward().parent().expect("its folder").display().to_string();
    let check = |what: &str| {
        let path = format!("PATH={folder}:/usr/bin:/bin");
        let mut process = lab.node.start(&["env", path.as_str(), script.as_str(), what]);
        let code = process.wait(wait::seconds(6)).code();
        (code, process.output().trim_end().to_owned())
    };
    let (code, said) = check("dns");
    assert!(code == Some(1) && said.starts_with("no DNS: Onward does not run"), "{code:?} {said}");
    assert_eq!(check("loop").0, Some(2));
    let upstream = answering(&lab, 0);
    let _loop = Relay::start(lab.upstream.net(), Lab::upstream_address(2), format!("{NODE}:53").parse().unwrap(), 1);
    let process = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
    assert_eq!(check("dns"), (Some(0), "ok: names are resolved".to_owned()));
    assert_eq!(check("loop"), (Some(0), "ok: no loop".to_owned()));
    assert_eq!(check("else").0, Some(2));
    drop(process);
    let process = onward::with_upstreams(&lab, &[UPSTREAMS[2], UPSTREAMS[0]]);
    let told = wait::until(wait::seconds(10), || {
        let _ = lab.client().try_udp(&Query::new("www.test", types::A));
        Some(check("loop")).filter(|(code, _)| *code == Some(1))
    });
    let (_, said) = told.unwrap_or_else(|| panic!("no loop: {}", process.output()));
    assert!(said.starts_with("loop: 10.99.0.55:53 sends our queries back") && said.len() <= 80, "{said}");
    drop(upstream);
    drop(process);
    let process = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
    let mut number = 0;
    let told = wait::until(wait::seconds(15), || {
        number += 1;
        let _ = lab.client().try_udp(&Query::new(&format!("dead-{number}.test"), types::A));
        Some(check("dns")).filter(|(code, _)| *code == Some(1))
    });
    let (_, said) = told.unwrap_or_else(|| panic!("DNS is well: {}", process.output()));
    assert!(said.starts_with("no DNS: ") && said.len() <= 80, "{said}");
}
