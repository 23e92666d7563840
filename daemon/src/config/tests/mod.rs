//! The texts of every fault, the shipped files, and what is printed.

mod files;
mod layers;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use super::*;

const SHORT: &str = include_str!("../../../../packaging/etc/onward.toml");
const TEMPLATE: &str = include_str!("../../../../packaging/etc/onward.template.toml");

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
    let table = include_str!("../faults.txt");
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
                [[routes]]\ndomains = [\"Corp.example.\"]\nservers = [\"10.9.0.2\"]\n[[routes]]\ndomains = \
                [\"lab\"]\nservers = [\"10.9.0.3:54\"]\nequivalent = true\n\
                [resolv_conf]\nsearch = [\"a.example.\"]\noptions = [\"ndots:2\"]\n\
                [cache]\nttl_max = \"90m\"\nmax_bytes = \"1500KiB\"\nfailure_ttl = \"90s\"";
    let one = main_file(text).load().unwrap();
    let printed = one.effective.to_toml();
    assert_eq!(settings(&printed), one.settings, "{printed}");
    assert!(printed.contains("\n[cache]\nmax_bytes = \"1500KiB\""), "{printed}");
    assert!(printed.contains("etc/onward.toml:15\n") && printed.contains("# default\n"), "{printed}");
    assert_eq!(one.effective.to_json()["cache.ttl_max"]["value"], "90m");
}
