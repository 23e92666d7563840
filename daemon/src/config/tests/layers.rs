//! What comes from where: files, drop-ins, variables, flags, and which of them holds.

use std::time::Duration;

use super::*;

#[test]
fn variables_that_kubernetes_makes_for_a_service_are_passed_over_with_a_note() {
    let host = Host::new(&[]).with(&[
        ("ONWARD_SERVICE_HOST", "10.96.0.53"),
        ("ONWARD_SERVICE_PORT_DNS", "53"),
        ("ONWARD_PORT_53_UDP_ADDR", "10.96.0.53"),
        ("ONWARD_PORT", "udp://10.96.0.53:53"),
        ("ONWARD_WORKERS", "3"),
    ]);
    let Loaded { settings, notes, .. } = host.load().unwrap();
    assert_eq!(settings.workers, Some(3));
    let told: Vec<_> = notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["environment ONWARD_PORT: ignored and 3 more like it: Kubernetes makes them for a Service of this name \
          (enableServiceLinks)"]
    );
    let faults = Host::new(&[]).with(&[("ONWARD_PORT", "53")]).faults();
    assert!(
        faults.len() == 1 && faults[0].starts_with("environment ONWARD_PORT: port = \"53\": unknown key"),
        "{faults:?}"
    );
}

#[test]
fn a_list_in_a_variable_that_is_written_as_in_a_file_is_told() {
    let faults = Host::new(&[]).with(&[("ONWARD_LISTEN", "[\"node\", \"10.0.0.1\"]")]).faults();
    assert_eq!(
        faults,
        [
            "environment ONWARD_LISTEN: listen = \"[\\\"node\\\", \\\"10.0.0.1\\\"]\": a list in a variable is written with \
          commas alone: node, 10.0.0.1"
        ]
    );
}

#[test]
fn quotes_around_the_value_of_a_variable_are_told() {
    for (name, value, key, plain) in [
        ("ONWARD_CACHE__TTL_MAX", "\"2h\"", "cache.ttl_max", "2h"),
        ("ONWARD_WORKERS", "'2'", "workers", "2"),
        ("ONWARD_LOG__LEVEL", "\"debug\"", "log.level", "debug"),
        ("ONWARD_STATE_DIR", "\"/var/lib/x\"", "state_dir", "/var/lib/x"),
    ] {
        let faults = Host::new(&[]).with(&[(name, value)]).faults();
        let shown = serde_json::Value::from(value);
        let told = "the quotes are a part of the value; write it without:";
        assert_eq!(faults, [format!("environment {name}: {key} = {shown}: {told} {plain}")]);
    }
    let list = Host::new(&[]).with(&[("ONWARD_UPSTREAMS__SERVERS", "'10.0.0.2, 10.0.0.3'")]).faults();
    assert!(list[0].ends_with("written with commas alone: 10.0.0.2, 10.0.0.3"), "{list:?}");
}

#[test]
fn a_later_layer_replaces_an_earlier_one_key_by_key() {
    let host = Host::new(&[
        ("vendor/10-vendor.toml", "workers = 2\n[cache]\nttl_max = \"1h\"\nttl_min = \"1s\""),
        ("etc/onward.toml", "[cache]\nttl_max = \"2h\"\nmax_bytes = \"1GiB\"\nstale_max = \"1h\""),
        ("etc/onward.toml.d/20-b.toml", "[cache]\nmax_bytes = \"3GiB\""),
        ("etc/onward.toml.d/10-a.toml", "[cache]\nmax_bytes = \"2GiB\"\nfailure_ttl = \"2s\""),
        ("etc/onward.toml.d/30-c.toml.dpkg-old", "this is not read"),
        ("etc/onward.toml.d/.hidden.toml", "nor this"),
    ]);
    let mut host =
        host.with(&[("ONWARD_CACHE__STALE_MAX", "3d"), ("ONWARD_LISTEN", "node, 10.0.0.1"), ("PATH", "/bin")]);
    host.overrides.listen = vec!["10.0.0.2:5300".into(), "[fd00::2]:5300".into()];
    host.overrides.upstream = vec!["10.9.9.9".into()];
    host.overrides.log_level = Some("debug".into());
    let Loaded { settings, effective, .. } = host.load().unwrap();
    assert_eq!(settings.workers, Some(2));
    assert_eq!(settings.cache.ttl_min, Duration::from_secs(1));
    assert_eq!(settings.cache.ttl_max, Duration::from_secs(7200));
    assert_eq!(settings.cache.max_bytes, 3 << 30);
    assert_eq!(settings.cache.stale_max, Duration::from_secs(3 * 86_400));
    let shown: Vec<String> = settings.listen.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.2:5300", "[fd00::2]:5300"]);
    let origin = |key: &str| {
        let origin = effective.get(key).unwrap().origin.to_string();
        origin.rsplit('/').next().unwrap().to_owned()
    };
    assert_eq!(origin("workers"), "10-vendor.toml:1");
    assert_eq!(origin("cache.max_bytes"), "20-b.toml:2");
    assert_eq!(origin("cache.failure_ttl"), "10-a.toml:3");
    assert_eq!(origin("cache.stale_max"), "environment ONWARD_CACHE__STALE_MAX");
    assert_eq!(origin("listen"), "--listen");
    assert_eq!(origin("upstreams.servers"), "--upstream");
    assert_eq!(origin("log.level"), "--log-level");
    assert_eq!(origin("families"), "default");
}

#[test]
fn faults_of_all_layers_are_told_at_once_and_those_that_are_overridden_too() {
    let host = Host::new(&[
        ("etc/onward.toml", "workers = 65\n[cache]\nttl_max = \"8d\""),
        ("etc/onward.toml.d/a.toml", "workers = 6\n[cache"),
        ("etc/onward.toml.d/b.toml", "color = 1"),
    ]);
    let mut host = host.with(&[("ONWARD_CACHE__TTL_MAX", "1h")]);
    host.overrides.listen = vec!["127.0.0.1:5300".into()];
    let faults = host.faults();
    assert_eq!(
        faults[..4],
        [
            "etc/onward.toml:1: workers = 65: allowed is a whole number from 1 to 64, or \"auto\"",
            "etc/onward.toml:3: cache.ttl_max = \"8d\": allowed is a duration with its unit, from \"1m\" to \"7d\" \
             (RFC 8767, section 4)",
            "etc/onward.toml.d/a.toml:2: not TOML: unclosed table, expected `]`",
            "etc/onward.toml.d/b.toml:1: color = 1: unknown key; known here are listen, families, node_ip, allow, workers, \
             state_dir, routes, upstreams, tls, names, resolv_conf, cache, limits, guard, log, control, metrics",
        ]
    );
    let loopback = "--listen: listen = \"127.0.0.1:5300\": loopback is refused: ";
    assert!(faults[4].starts_with(loopback) && faults.len() == 5, "{faults:#?}");
}

#[test]
fn faults_of_the_environment_name_the_variable() {
    let host = Host::new(&[]).with(&[
        ("ONWARD_LOG", "debug"),
        ("ONWARD_LOG__LEVEL", "loud"),
        ("ONWARD_LOG__LEVL", "info"),
        ("ONWARD_UPSTREAMS__SERVERS", "10.0.0.2, dns"),
        ("ONWARD_RESOLV_CONF__SEARCH", "corp.example,"),
        ("ONWARD_LIST", "node"),
        ("ONWARDS", "not ours"),
    ]);
    let host_faults = host.faults();
    let tops = "ONWARD_LISTEN, ONWARD_FAMILIES, ONWARD_NODE_IP, ONWARD_ALLOW, ONWARD_WORKERS, ONWARD_STATE_DIR, \
                ONWARD_ROUTES, ONWARD_UPSTREAMS, ONWARD_TLS, ONWARD_NAMES, ONWARD_RESOLV_CONF, ONWARD_CACHE, ONWARD_LIMITS, ONWARD_GUARD, ONWARD_LOG, ONWARD_CONTROL, ONWARD_METRICS";
    assert_eq!(
        host_faults,
        [
            &format!(
                "environment ONWARD_LIST: list = \"node\": unknown key; the nearest is ONWARD_LISTEN; known here are {tops}"
            ),
            "environment ONWARD_LOG: log = \"debug\": it is a table, not a value; its keys are ONWARD_LOG__LEVEL",
            "environment ONWARD_LOG__LEVEL: log.level = \"loud\": allowed is one of \"error\", \"warn\", \"info\", \"debug\"",
            "environment ONWARD_LOG__LEVL: log.levl = \"info\": unknown key; the nearest is ONWARD_LOG__LEVEL; known here \
             are ONWARD_LOG__LEVEL",
            "environment ONWARD_RESOLV_CONF__SEARCH: resolv_conf.search = \"\": allowed is a domain of at most 253 \
             characters, its labels of 1 to 63 letters, digits, \"-\" and \"_\" (others in their xn-- form)",
            "environment ONWARD_UPSTREAMS__SERVERS: upstreams.servers = \"dns\": allowed is an address with an optional \
             port: \"10.0.0.2\", \"10.0.0.2:5353\", \"fd00::2\", \"[fd00::2]:53\", \"fe80::1%eth0\"; with TLS \"tls://192.0.2.8\", \"tls://192.0.2.8#dns.example\", \
             \"tls://[2001:db8::8]:853#dns.example\"; a name would have to be \
             resolved first; write the address",
        ]
    );
}

#[test]
fn a_variable_or_path_that_is_not_utf8_is_told() {
    use std::os::unix::ffi::OsStringExt;
    let mut host = Host::new(&[]);
    let odd = || OsString::from_vec(b"/x\xff".to_vec());
    host.environment = vec![("ONWARD_STATE_DIR".into(), odd())];
    host.overrides.resolv_conf = Some(odd().into());
    assert_eq!(
        host.faults(),
        [
            "environment ONWARD_STATE_DIR: state_dir: the value is not UTF-8",
            "--resolv-conf: resolv_conf.path = \"/x\\xFF\": not a path in UTF-8",
        ]
    );
}

#[test]
fn relative_paths_of_flags_are_meant_from_here() {
    let mut host = Host::new(&[]);
    host.overrides.resolv_conf = Some("resolv.conf".into());
    host.overrides.state_dir = Some("state".into());
    let settings = host.load().unwrap().settings;
    let here = std::env::current_dir().unwrap();
    assert_eq!((settings.resolv_conf.path, settings.state_dir), (here.join("resolv.conf"), here.join("state")));
}

#[test]
fn the_routes_of_all_files_hold_together() {
    let route = |domain: &str| format!("[[routes]]\ndomains = [\"{domain}\"]\nservers = [\"10.9.0.2\"]\n");
    let host = Host::new(&[
        ("etc/onward.toml", &route("corp.example")),
        ("etc/onward.toml.d/10-vpn.toml", &route("vpn.example")),
        ("etc/onward.toml.d/20-lab.toml", "[log]\nlevel = \"debug\""),
    ]);
    let Loaded { settings, effective, .. } = host.load().unwrap();
    let domains: Vec<_> = settings.routes.iter().map(|route| route.domains[0].to_string()).collect();
    assert_eq!(domains, ["corp.example", "vpn.example"]);
    assert!(effective.to_toml().contains("\n[[routes]]\ndomains = [\"vpn.example\"]"), "{}", effective.to_toml());
    let many =
        |which: std::ops::Range<u8>| which.map(|number| route(&format!("d{number}.example"))).collect::<String>();
    let host = Host::new(&[("etc/onward.toml", &many(0..20)), ("etc/onward.toml.d/more.toml", &many(20..33))]);
    assert!(host.faults()[0].contains("33 routes in all files; allowed are 32"), "{:?}", host.faults());
}
