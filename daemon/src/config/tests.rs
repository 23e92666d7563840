//! The texts of every fault, the layers and their order, the shipped files.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use super::*;

const SHORT: &str = include_str!("../../../packaging/etc/onward.toml");
const TEMPLATE: &str = include_str!("../../../packaging/etc/onward.template.toml");

/// A host of its own: folders for the files, an environment, flags.
struct Host {
    folder: tempfile::TempDir,
    environment: Vec<(OsString, OsString)>,
    overrides: Overrides,
}

impl Host {
    fn new(files: &[(&str, &str)]) -> Self {
        let host =
            Self { folder: tempfile::tempdir().unwrap(), environment: Vec::new(), overrides: Overrides::default() };
        for (name, text) in files {
            let path = host.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        host
    }

    fn with(mut self, variables: &[(&str, &str)]) -> Self {
        self.environment = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn load(&self) -> Result<Loaded, Faults> {
        let roots = Roots { vendor: self.path("vendor"), etc: self.path("etc") };
        load_from(&roots, self.environment.clone(), &self.overrides)
    }

    /// The faults, with the folder left out of the paths.
    fn faults(&self) -> Vec<String> {
        let root = format!("{}/", self.folder.path().display());
        let faults = self.load().err().map(|faults| faults.to_string()).unwrap_or_default();
        faults.lines().map(|line| line.replace(&root, "")).collect()
    }
}

fn main_file(text: &str) -> Host {
    Host::new(&[("etc/onward.toml", text)])
}

fn settings(text: &str) -> Settings {
    main_file(text).load().unwrap().settings
}

#[test]
fn nothing_at_all_is_a_configuration() {
    assert_eq!(Host::new(&[]).load().unwrap().settings, Settings::default());
}

/// Each line: what stands in the file, and what is said of it after `etc/onward.toml:`.
#[test]
fn every_fault_has_its_text() {
    let table = include_str!("faults.txt");
    let mut cases = 0;
    for block in table.split("\n\n").filter(|block| !block.starts_with("--")) {
        let (text, told): (Vec<_>, Vec<_>) = block.lines().partition(|line| !line.starts_with("> "));
        let told: Vec<_> = told.iter().map(|line| line.replacen("> ", "etc/onward.toml:", 1)).collect();
        assert!(!told.is_empty(), "no text for {text:?}");
        assert_eq!(main_file(&text.join("\n")).faults(), told, "{text:?}");
        cases += 1;
    }
    assert!(cases > 40, "{cases}");
}

/// Each line: what stands in the file, and what is said of it though it holds.
#[test]
fn what_may_mean_something_else_is_told_though_it_holds() {
    let told = |text: &str| {
        let loaded = main_file(text).load().unwrap();
        let told = loaded.notes.iter().chain(&loaded.warnings).map(ToString::to_string);
        told.map(|line| line.rsplit_once('/').map_or_else(|| line.clone(), |(_, line)| line.to_owned()))
            .collect::<Vec<_>>()
    };
    for (text, expected) in [
        ("max_bytes = \"32MiB\"", &[][..]),
        ("max_bytes = \"32 mib\"", &[]),
        (
            "max_bytes = \"32MB\"",
            &[
                "onward.toml:2: cache.max_bytes = \"32MB\": that is 32000000 bytes, counted in thousands; if 1024s are meant, \
               write \"32MiB\"",
            ],
        ),
        (
            "max_bytes = \"2g\"",
            &[
                "onward.toml:2: cache.max_bytes = \"2g\": that is 2000000000 bytes, counted in thousands; if 1024s are meant, \
               write \"2GiB\"",
            ],
        ),
    ] {
        let loaded = told(&format!("[cache]\n{text}"));
        assert_eq!(loaded.len(), expected.len(), "{loaded:?}");
        assert!(loaded.iter().zip(expected).all(|(got, expected)| got == expected), "{loaded:?}");
    }
    let upstream = told("[upstreams]\nservers = [\"fd00::1:5353\", \"[fd00::2:5353]\", \"2620:fe::fe\", \"fd00::53\"]");
    assert_eq!(
        upstream,
        [
            "onward.toml:2: upstreams.servers = \"fd00::1:5353\": port 53 of this address is asked; if 5353 is meant as the \
             port, write \"[fd00::1]:5353\"; if not, write \"[fd00::1:5353]\""
        ]
    );
}

#[test]
fn files_that_are_passed_over_are_told() {
    let host = Host::new(&[
        ("etc/onward.toml", "workers = 2"),
        ("etc/onward.conf", "workers = 3"),
        ("etc/onward.template.toml", "workers = 3"),
        ("etc/onward.toml.d/10-a.conf", "workers = 3"),
        ("etc/onward.toml.d/10-a.toml", "workers = 4"),
        ("etc/onward.toml.d/20-b.yaml", "workers: 3"),
        ("etc/onward.toml.d/30-c.toml.bak", "workers = 3"),
        ("etc/onward.toml.d/.30-c.toml.swp", "workers = 3"),
    ]);
    let Loaded { settings, notes, .. } = host.load().unwrap();
    assert_eq!(settings.workers, Some(4));
    let folder = format!("{}/", host.folder.path().display());
    let told: Vec<_> = notes.iter().map(|note| note.to_string().replace(&folder, "")).collect();
    let expected = ["onward.conf", "onward.toml.d/10-a.conf", "onward.toml.d/20-b.yaml", "onward.toml.d/30-c.toml.bak"];
    assert_eq!(told, expected.map(|name| format!("etc/{name}: {NOT_READ}")));
}

#[test]
fn the_null_device_is_an_empty_file_by_name_and_as_a_mask() {
    let mut host = Host::new(&[("etc/onward.toml", "workers = 0"), ("etc/onward.toml.d/a.toml", "workers = 3")]);
    fs::remove_file(host.path("etc/onward.toml")).unwrap();
    std::os::unix::fs::symlink("/dev/null", host.path("etc/onward.toml")).unwrap();
    assert_eq!(host.load().unwrap().settings.workers, Some(3));
    host.overrides.config = Some("/dev/null".into());
    assert_eq!(host.load().unwrap().settings, Settings::default());
    host.overrides.config = Some("/dev/zero".into());
    assert_eq!(host.load().unwrap_err().to_string(), "/dev/zero: not a file");
}

#[test]
fn blanks_tabs_and_ends_of_lines_of_other_systems_do_no_harm() {
    assert_eq!(settings("\u{feff}workers = 2\r\n[cache]\r\n\tttl_max\t=\t\"1h\"\r\n").workers, Some(2));
    let host = Host::new(&[]);
    fs::create_dir_all(host.path("etc")).unwrap();
    fs::write(host.path("etc/onward.toml"), b"\xff\xfew\0o\0").unwrap();
    assert_eq!(host.faults(), ["etc/onward.toml:1: UTF-16; save it as UTF-8, which TOML is written in"]);
}

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
             state_dir, upstreams, resolv_conf, cache, limits, guard, log, control, metrics",
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
                ONWARD_UPSTREAMS, ONWARD_RESOLV_CONF, ONWARD_CACHE, ONWARD_LIMITS, ONWARD_GUARD, ONWARD_LOG, ONWARD_CONTROL, ONWARD_METRICS";
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
             port: \"10.0.0.2\", \"10.0.0.2:5353\", \"fd00::2\", \"[fd00::2]:53\", \"fe80::1%eth0\"; a name would have to be \
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
fn a_file_that_was_asked_for_stands_alone_and_must_exist() {
    let mut host = Host::new(&[("etc/onward.toml", "workers = 0"), ("mine.toml", "workers = 3")]);
    host.overrides.config = Some(host.path("mine.toml"));
    assert_eq!(host.load().unwrap().settings.workers, Some(3));
    host.overrides.config = Some(host.path("none.toml"));
    let told = host.load().unwrap_err().to_string();
    assert_eq!(
        told,
        format!("{}: cannot be read: No such file or directory (os error 2)", host.path("none.toml").display())
    );
    host.overrides.config = Some(host.path("etc"));
    assert_eq!(host.load().unwrap_err().to_string(), format!("{}: not a file", host.path("etc").display()));
}

#[test]
fn what_anyone_may_write_is_not_read() {
    let host = Host::new(&[("etc/onward.toml", "workers = 1"), ("etc/onward.toml.d/a.toml", "workers = 2")]);
    let open = |name: &str, mode| fs::set_permissions(host.path(name), fs::Permissions::from_mode(mode)).unwrap();
    open("etc/onward.toml", 0o666);
    open("etc/onward.toml.d", 0o777);
    let (file, folder) = (host.path("etc/onward.toml"), host.path("etc/onward.toml.d"));
    let (file, folder) = (file.display(), folder.display());
    let told = host.load().unwrap_err().to_string();
    let texts = [
        format!("{file}: anyone may change this file, so it is not read; run: chmod o-w {file}"),
        format!("{folder}: anyone may put files into this folder, so none of it is read; run: chmod o-w {folder}"),
    ];
    assert_eq!(told, texts.join("\n"));
    open("etc/onward.toml", 0o664);
    open("etc/onward.toml.d", 0o755);
    assert_eq!(host.load().unwrap().settings.workers, Some(2));
}

#[test]
fn files_that_are_no_text_are_told() {
    let host = Host::new(&[]);
    fs::create_dir_all(host.path("etc")).unwrap();
    fs::write(host.path("etc/onward.toml"), b"workers = 1\n# \xe9\n").unwrap();
    assert_eq!(host.faults(), ["etc/onward.toml:2: not UTF-8, which TOML is written in"]);
    fs::write(host.path("etc/onward.toml"), " ".repeat((1 << 20) + 1)).unwrap();
    assert_eq!(host.faults(), ["etc/onward.toml: longer than 1MiB, which no configuration is"]);
}

#[test]
fn the_short_file_is_sound_and_changes_nothing() {
    assert_eq!(settings(SHORT), Settings::default());
}

#[test]
fn the_template_has_every_option_with_its_default() {
    assert_eq!(settings(TEMPLATE), Settings::default());
    // A comment has a blank after its mark, an option has none.
    let option = |line: &str| {
        line.strip_prefix('#').filter(|rest| !rest.starts_with(' ') && !rest.is_empty()).map(str::to_owned)
    };
    let active: Vec<String> = TEMPLATE.lines().map(|line| option(line).unwrap_or_else(|| line.to_owned())).collect();
    let Loaded { settings, effective, .. } = main_file(&active.join("\n")).load().unwrap();
    assert_eq!(settings, Settings::default());
    let missing: Vec<_> = effective.entries().iter().filter(|entry| entry.origin == Origin::Default).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn what_is_printed_can_be_loaded_again() {
    let text = "listen = [\"interface:eth1\", \"10.0.0.1:5300\"]\nallow = [\"local\", \"203.0.113.0/24\"]\nworkers = 3\n\
                [upstreams]\nequivalent = false\nservers = [\"fe80::1%eth0\"]\n\
                [resolv_conf]\nsearch = [\"a.example.\"]\noptions = [\"ndots:2\"]\n\
                [cache]\nttl_max = \"90m\"\nmax_bytes = \"1500KiB\"\nfailure_ttl = \"90s\"";
    let one = main_file(text).load().unwrap();
    let printed = one.effective.to_toml();
    assert_eq!(settings(&printed), one.settings, "{printed}");
    assert!(printed.contains("\n[cache]\nmax_bytes = \"1500KiB\""), "{printed}");
    assert!(printed.contains("etc/onward.toml:8\n") && printed.contains("# default\n"), "{printed}");
    assert_eq!(one.effective.to_json()["cache.ttl_max"]["value"], "90m");
}
