//! Programs that the tests bring along: Onward itself and the peers in Go are built, once a run, into `target/`;
//! systemd-resolved and Prometheus are unpacked there by `tests/run`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `onward` binary: built by cargo if it is not up to date, or the one that `ONWARD_BIN` names.
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn onward() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("ONWARD_BIN") {
            return path.into();
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--quiet", "--package", "onward", "--bin", "onward"]);
        // What cargo tells this test of its own package would have ring built again, and all above it.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_")) {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&*name);
            }
        }
        build("onward", &mut command);
        target().join("debug/onward")
    })
}

/// CoreDNS, from `coredns/`.
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn coredns() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| go("coredns"))
}

/// The program around kubelet's own resolv.conf code, from `kubelet/`.
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn kubelet() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| go("kubelet"))
}

/// node-problem-detector, by the module in `node-problem-detector/`, without what reads logs and statistics.
///
/// # Panics
/// If it does not build.
#[must_use]
pub fn node_problem_detector() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let tags = "disable_system_log_monitor,disable_system_stats_monitor,disable_stackdriver_exporter";
        let package = "k8s.io/node-problem-detector/cmd/nodeproblemdetector";
        go_package("node-problem-detector", &["-tags", tags], package)
    })
}

/// systemd-resolved: the copy that `tests/run` unpacked, or the machine's own.
///
/// # Panics
/// If there is none: the message says how to get it.
#[must_use]
pub fn resolved() -> PathBuf {
    let places = [target().join("peers/resolved/lib/systemd/systemd-resolved"), "/lib/systemd/systemd-resolved".into()];
    let found = places.into_iter().find(|place| place.exists());
    found.expect(
        "systemd-resolved is missing: `tests/run` unpacks it into target/peers/resolved (it is never installed)",
    )
}

/// A program of the package prometheus, `prometheus` or `promtool`: the copy that `tests/run` unpacked.
///
/// # Panics
/// If there is none: the message says how to get it.
#[must_use]
pub fn prometheus(program: &str) -> PathBuf {
    let place = target().join("peers/prometheus/usr/bin").join(program);
    assert!(place.exists(), "{program} is missing: `tests/run` unpacks it into target/peers/prometheus");
    place
}

/// Builds a Go module of this folder into `target/peers`.
fn go(module: &str) -> PathBuf {
    go_package(module, &[], ".")
}

/// The same, for a package that the module names as a tool.
fn go_package(module: &str, options: &[&str], package: &str) -> PathBuf {
    let binary = target().join("peers").join(module);
    let mut command = Command::new(std::env::var_os("GO").unwrap_or_else(|| "go".into()));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(module));
    command.args(["build", "-trimpath"]).args(options).arg("-o").arg(&binary).arg(package).env("CGO_ENABLED", "0");
    build(module, &mut command);
    binary
}

fn build(name: &str, command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|error| panic!("build {name}: {error}; `tests/run` gets what it needs"));
    assert!(output.status.success(), "{name} does not build:\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Cargo's target directory: tests lie in `target/debug/deps`.
fn target() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    test.ancestors().nth(3).expect("a test lies in target/debug/deps").to_path_buf()
}
