//! How a running Onward is asked: `onward status` and `onward flush` on nodes that are well, not well, or without a
//! daemon; the control socket under clients that are slow or hostile; metrics.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Instant;

use nix::sys::signal::Signal;
use onward_tests::lab::{Lab, NODE, NODE_IP, UPSTREAMS};
use onward_tests::load::Load;
use onward_tests::query::{Query, types};
use onward_tests::upstream::{Reply, Scripted, Seen};
use onward_tests::{onward, wait};
use serde_json::Value;

const SOCKET: &str = "/run/onward/control.sock";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn upstream(lab: &Lab, number: usize) -> Scripted {
    let script = |seen: &Seen| Reply::now(seen.address(ADDRESS.octets(), 300));
    Scripted::start(lab.upstream.net(), Lab::upstream_address(number), script)
}

fn socket(lab: &Lab) -> PathBuf {
    lab.node.path(SOCKET)
}

fn status(lab: &Lab) -> (Option<i32>, Value) {
    let (code, said) = onward::run_to_end(&lab.node, &["status", "--json"]);
    (code, serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}")))
}

/// Makes a call by hand. Returns the reply.
fn call(stream: &mut UnixStream, call: &str) -> Value {
    stream.write_all(call.as_bytes()).expect("write the call");
    stream.write_all(&[0]).expect("write its end");
    let (mut reply, mut byte) = (Vec::new(), [0]);
    while stream.read_exact(&mut byte).is_ok() && byte != [0] {
        reply.extend(byte);
    }
    serde_json::from_slice(&reply).expect("a reply in JSON")
}

#[test]
fn a_node_that_is_well_says_so() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab, 0);
    let _process = onward::with_upstreams(&lab, &UPSTREAMS[..1]);
    for _ in 0..3 {
        assert_eq!(lab.client().addresses("www.test"), [ADDRESS]);
    }
    let (code, said) = status(&lab);
    assert_eq!((code, &said["state"]), (Some(0), &Value::from("ok")), "{said:#}");
    assert_eq!(said["listeners"][0]["address"], "10.99.0.1:53");
    assert_eq!(
        (&said["upstreams"][0]["server"], &said["upstreams"][0]["state"]),
        (&"10.99.0.53:53".into(), &"up".into())
    );
    assert!(said["upstreams"][0]["asked"].as_u64() >= Some(1), "{said:#}");
    assert_eq!((&said["queries"]["hits"], &said["queries"]["misses"]), (&2.into(), &1.into()));
    assert_eq!(said["cache"]["entries"], 1);
    let on_disk = &said["file_on_disk"]["addresses"][0];
    assert_eq!((&on_disk["address"], &on_disk["udp"], &on_disk["tcp"]), (&NODE.into(), &true.into(), &true.into()));
    let (code, text) = onward::run_to_end(&lab.node, &["status"]);
    assert_eq!(code, Some(0), "{text}");
    for part in ["Onward        ok", "10.99.0.1:53 (UDP and TCP) answers", "10.99.0.53:53  up", "2 (66.6 %)"] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn dead_upstreams_are_told_and_so_is_the_lack_of_any() {
    let Some(lab) = Lab::new() else { return };
    let first = upstream(&lab, 0);
    let second = upstream(&lab, 1);
    let process = onward::with_upstreams(&lab, &UPSTREAMS[..2]);
    assert_eq!(lab.client().addresses("first.test"), [ADDRESS]);
    drop(first);
    let until = |state: &str| {
        let client = lab.client();
        let (mut number, mut last) = (0, Value::Null);
        wait::until(wait::seconds(15), || {
            number += 1;
            let _ = client.try_udp(&Query::new(&format!("{state}-{number}.test"), types::A));
            let (code, said) = status(&lab);
            let is_so = said["state"] == state;
            last = said;
            is_so.then(|| (code, last.clone()))
        })
        .unwrap_or_else(|| panic!("never {state}: {last:#}\n{}", process.output()))
    };
    let (code, said) = until("degraded");
    assert_eq!((code, &said["upstreams"][0]["state"]), (Some(1), &"down".into()), "{said:#}");
    assert!(said["troubles"].to_string().contains("10.99.0.53:53 does not answer"), "{said:#}");
    drop(second);
    let (code, said) = until("no_dns");
    assert_eq!(code, Some(2), "{said:#}");
}

#[test]
fn without_a_daemon_status_says_what_it_can() {
    let Some(lab) = Lab::new() else { return };
    let (code, said) = onward::run_to_end(&lab.node, &["status"]);
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("does not run") && said.contains("/run/onward/resolv.conf is not there"), "{said}");
    let _upstream = upstream(&lab, 0);
    let mut process = onward::with_upstreams(&lab, &UPSTREAMS[..1]);
    process.signal(Signal::SIGKILL);
    process.wait(wait::seconds(5));
    assert!(socket(&lab).exists(), "the socket that a killed process leaves");
    let (code, said) = status(&lab);
    assert_eq!((code, &said["running"]), (Some(69), &false.into()), "{said:#}");
    assert_eq!(said["file_on_disk"]["addresses"][0]["udp"], false, "{said:#}");
    let _process = onward::with_upstreams(&lab, &UPSTREAMS[..1]);
    assert_eq!(status(&lab).0, Some(0), "the next process takes the socket's place");
}

#[test]
fn a_daemon_that_hangs_is_told_from_one_that_does_not_run() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab, 0);
    let process = onward::with_upstreams(&lab, &UPSTREAMS[..1]);
    process.signal(Signal::SIGSTOP);
    let (code, said) = onward::run_to_end(&lab.node, &["status"]);
    process.signal(Signal::SIGCONT);
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("does not reply") && said.contains("10.99.0.1 does not answer"), "{said}");
}

#[test]
fn what_is_flushed_is_asked_again_and_nothing_else_is() {
    let Some(lab) = Lab::new() else { return };
    let upstream = upstream(&lab, 0);
    let _process = onward::with_upstreams(&lab, &UPSTREAMS[..1]);
    let names = ["a.corp.test", "b.corp.test", "other.test"];
    let ask = || names.map(|name| drop(lab.client().addresses(name)));
    let asked = || names.map(|name| upstream.count(name));
    ask();
    ask();
    assert_eq!(asked(), [1, 1, 1]);
    for (words, said, seen) in [
        (&["flush", "A.Corp.Test"][..], "forgot 1 response\n", [2, 1, 1]),
        (&["flush", "--suffix", "corp.test"], "forgot 2 responses\n", [3, 2, 1]),
        (&["flush", "--all"], "forgot 3 responses\n", [4, 3, 2]),
        (&["flush", "--json", "nobody.test"], "{\"forgotten\":0}\n", [4, 3, 2]),
    ] {
        assert_eq!(onward::run_to_end(&lab.node, words), (Some(0), said.to_owned()));
        ask();
        assert_eq!(asked(), seen, "{words:?}");
    }
    for words in [&["flush"][..], &["flush", "a.test", "--all"], &["flush", "a..test"]] {
        let (code, said) = onward::run_to_end(&lab.node, words);
        assert_eq!(code, Some(64), "{words:?}: {said}");
    }
}

#[test]
fn the_socket_is_for_the_owner_and_the_group_and_says_what_it_is() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab, 0);
    let _process = onward::with_upstreams(&lab, &UPSTREAMS[..1]);
    let mode = std::fs::metadata(socket(&lab)).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let mut stream = UnixStream::connect(socket(&lab)).expect("connect");
    let info = call(&mut stream, r#"{"method":"org.varlink.service.GetInfo"}"#);
    assert_eq!(info["parameters"]["interfaces"][1], "io.onward.Control", "{info}");
    let unknown = call(&mut stream, r#"{"method":"io.onward.Control.Nothing","parameters":{}}"#);
    assert_eq!(unknown["error"], "org.varlink.service.MethodNotFound", "and the connection goes on");
    let again = call(&mut stream, r#"{"method":"io.onward.Control.Status","parameters":{}}"#);
    assert_eq!(again["parameters"]["status"]["state"], "ok", "{again}");
}

#[test]
fn a_name_is_explained_and_how_asking_goes_is_shown() {
    let Some(lab) = Lab::new() else { return };
    let script = |seen: &Seen| Reply::after(wait::millis(30), seen.address(ADDRESS.octets(), 300));
    let upstream = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), script);
    let _process = onward::with_upstreams(&lab, &UPSTREAMS[..2]);
    assert_eq!(lab.client().addresses("WWW.test"), [ADDRESS]);
    let (code, said) = onward::run_to_end(&lab.node, &["explain", "www.test", "--from", "10.244.0.10"]);
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "www.test. A\n  10.244.0.10 may ask\n",
        "in the cache: NOERROR with 1 record, from 10.99.0.53:53, since 0 s, for another ",
        "asked of the servers for all names:\n    10.99.0.53:53 (",
        "), from configuration: asked first\n",
        "    10.99.0.54:53 (up), from configuration: asked when the one before has failed, or is slow\n",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
    let (_, said) = onward::run_to_end(&lab.node, &["explain", "www.test", "A", "--from", "203.0.113.9", "--json"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&said["allowed"], &said["cached"][0]["rcode"]), (&false.into(), &"NOERROR".into()), "{said:#}");
    let before = upstream.count("www.test");
    let (code, said) = onward::run_to_end(&lab.node, &["explain", "www.test", "--ask"]);
    assert_eq!((code, upstream.count("www.test")), (Some(0), before + 1), "it is asked though it is in the cache");
    let lines: Vec<&str> = said.lines().skip_while(|line| !line.contains("asking now")).collect();
    assert!(lines[1].ends_with("0.0 ms  asked 10.99.0.53:53 over UDP"), "{said}");
    let heard = lines.iter().find(|line| line.ends_with("10.99.0.53:53 said NOERROR")).expect("what it said");
    let millis: f64 = heard.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a time");
    assert!((29.0..200.0).contains(&millis), "{said}");
    assert!(lines.last().is_some_and(|line| line.ends_with("the answer: NOERROR, by 10.99.0.53:53")), "{said}");
    let (code, said) = onward::run_to_end(&lab.node, &["explain", "www.test", "NOPE"]);
    assert_eq!(code, Some(64), "{said}");
}

#[test]
fn queries_are_shown_as_they_are_answered() {
    let Some(lab) = Lab::new() else { return };
    let script = |seen: &Seen| match seen.name().as_str() {
        "bad.corp.test" => Reply::now(seen.failure(2)),
        _ => Reply::now(seen.address(ADDRESS.octets(), 300)),
    };
    let _upstream = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), script);
    let _process = onward::with_upstreams(&lab, &UPSTREAMS[..1]);
    let binary = onward_tests::peers::onward().display().to_string();
    let watch = |words: &[&str]| {
        let mut all = vec![binary.as_str(), "monitor", "--seconds", "3"];
        all.extend(words);
        lab.node.start(&all)
    };
    let (mut each, mut bad, mut top) =
        (watch(&["--json", "--steps"]), watch(&["--name", "corp.test", "--failures"]), watch(&["--top"]));
    sleep(wait::millis(700)); // they begin to watch
    assert_eq!(lab.client().addresses("www.test"), [ADDRESS]);
    assert_eq!(lab.client().addresses("www.test"), [ADDRESS]);
    let _ = lab.client().tcp(&Query::new("good.corp.test", types::A));
    let _ = lab.client().udp(&Query::new("bad.corp.test", types::A));
    for process in [&mut each, &mut bad, &mut top] {
        assert!(process.wait(wait::seconds(8)).success(), "{}", process.output());
    }
    let events: Vec<Value> = each.output().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let whats = |name: &str| -> Vec<String> {
        let ours = events.iter().filter(|event| event["name"] == name);
        ours.map(|event| event["what"].as_str().unwrap_or_default().to_owned()).collect()
    };
    assert_eq!(whats("www.test."), ["sent", "heard", "miss", "hit"], "{}", each.output());
    let miss = events.iter().find(|event| event["name"] == "good.corp.test." && event["what"] == "miss").expect("it");
    assert_eq!((&miss["transport"], &miss["upstream"]), (&"tcp".into(), &"10.99.0.53:53".into()));
    assert!(miss["client"].as_str().is_some_and(|client| client.starts_with("10.244.0.10:")), "{miss}");
    let said = bad.output();
    assert!(
        said.lines().count() == 1 && said.contains(" bad.corp.test. A miss") && said.contains("SERVFAIL"),
        "{said}"
    );
    assert!(top.output().contains("       2  www.test. A\n"), "{}", top.output());
    assert!(top.output().contains("       4  10.244.0.10\n"), "{}", top.output());
}

/// Clients that ask and read nothing, that send without end, and more than there is room for.
#[test]
fn hostile_clients_of_the_socket_cost_no_query_and_do_not_keep_others_out() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab, 0);
    let process = onward::with_upstreams(&lab, &UPSTREAMS[..1]);
    assert_eq!(lab.client().addresses("www.test"), [ADDRESS]);
    let memory = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).expect("its memory");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number")
    };
    let before = memory();
    let load = Load::start(lab.pod.net(), NODE_IP);
    let mut hostile = Vec::new();
    for number in 0..100 {
        let mut stream = UnixStream::connect(socket(&lab)).expect("connect");
        stream.set_write_timeout(Some(wait::millis(200))).expect("a time limit");
        stream.set_nonblocking(number % 2 == 0).expect("a mode");
        let flood = match number % 3 {
            0 => "{\"method\":\"io.onward.Control.Status\"}\0".repeat(2_000),
            1 => "{\"method\":\"io.onward.Control.Monitor\",\"more\":true}\0".to_owned(),
            _ => "x".repeat(200_000),
        };
        let _ = stream.write_all(flood.as_bytes()); // fails where the other end has had enough
        hostile.push(stream);
    }
    let begun = Instant::now();
    let (code, said) = status(&lab);
    assert_eq!(code, Some(0), "{said:#}");
    assert!(begun.elapsed() < wait::seconds(3), "{:?}", begun.elapsed());
    sleep(wait::seconds(1));
    let grown = memory().saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB more");
    let asked = load.finish();
    assert!(asked.len() > 50 && asked.iter().all(|one| one.answer.is_some()), "a query was lost");
}

#[test]
fn metrics_tell_what_happened() {
    let Some(lab) = Lab::new() else { return };
    let _upstream = upstream(&lab, 0);
    lab.node.write(
        onward::CONFIGURATION,
        &format!(
            "listen = [\"{NODE}\"]\n[upstreams]\nservers = [\"{}\"]\n[metrics]\nlisten = \"{NODE}:9253\"\n",
            UPSTREAMS[0]
        ),
    );
    let _process = onward::start(&lab.node, NODE, &[]);
    for _ in 0..3 {
        assert_eq!(lab.client().addresses("www.test"), [ADDRESS]);
    }
    let get = |head: &str| {
        let mut stream = lab.node.net().connect(format!("{NODE}:9253").parse().unwrap()).expect("connect");
        stream.write_all(format!("{head}\r\nhost: node\r\n\r\n").as_bytes()).expect("ask");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("read");
        said
    };
    let said = get("GET /metrics HTTP/1.1");
    for line in [
        "HTTP/1.1 200 OK",
        "onward_queries_total{transport=\"udp\",type=\"A\",result=\"hit\"} 2",
        "onward_queries_total{transport=\"udp\",type=\"A\",result=\"miss\"} 1",
        "onward_answered_misses_total{result=\"fresh\"} 1",
        "onward_miss_duration_seconds_count 1",
        "onward_upstream_queries_total{upstream=\"10.99.0.53:53\"} 1",
        "onward_upstream_response_duration_seconds_count{upstream=\"10.99.0.53:53\"} 1",
        "onward_upstream_state{upstream=\"10.99.0.53:53\",state=\"up\"} 1",
        "onward_cache_entries 1",
        "onward_guard_loops 0",
        "onward_listener_answers{address=\"10.99.0.1:53\"} 1",
        "onward_file_names_answering_address 1",
        "onward_configuration_in_force 1",
    ] {
        assert!(said.lines().any(|it| it == line), "{line} in\n{said}");
    }
    assert!(said.contains("text/plain; version=0.0.4") && !said.contains("# EOF"));
    let open = get("GET /metrics HTTP/1.1\r\naccept: application/openmetrics-text;version=1.0.0");
    assert!(open.contains("application/openmetrics-text; version=1.0.0") && open.ends_with("# EOF\n"), "{open}");
    assert!(get("POST /metrics HTTP/1.1\r\ncontent-length: 0").starts_with("HTTP/1.1 405 "));
    assert!(get("GET / HTTP/1.1").starts_with("HTTP/1.1 404 "));
    let from_outside = lab.upstream.net().connect(format!("{NODE}:9253").parse().unwrap());
    let refused = from_outside.map(|mut stream| {
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: node\r\n\r\n");
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said); // reset, or ended
        said
    });
    assert_eq!(refused.unwrap_or_default(), b"", "who is not on the list gets nothing");
}
