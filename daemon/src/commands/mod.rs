//! The program as people call it: the command line and its help texts, the commands, how each may end.
//!
//! A command writes its result to a `dyn Write` that main hands in; logs and faults go elsewhere. It does not end the
//! process: it gives a [`Failure`], which has the exit code (sysexits.h) and the text.

mod check;
mod cluster_facts;
mod daemon;
mod dedicated;
mod discover;
mod doctor;
mod explain;
mod flush;
mod integrate;
mod monitor;
mod run;
mod status;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::Overrides;
pub use crate::failure::Failure;
use crate::logging;
pub use doctor::DoctorArgs;
pub use explain::ExplainArgs;
pub use flush::FlushArgs;
pub use integrate::{IntegrateArgs, RevertArgs};
pub use monitor::MonitorArgs;
pub use status::StatusArgs;

/// What stands below the options in `onward --help`, and as sections in onward(8): packaging/generate says in which
/// form.
const AFTER_LONG_HELP: &str = "\
Configuration: /etc/onward/onward.toml, /etc/onward/onward.toml.d/*.toml, variables that begin with ONWARD_.
Files:
  /run/onward/resolv.conf  for kubelet (`resolvConf` of its configuration), which gives it to pods
  /run/onward/control.sock  where the daemon is asked, by `onward status` and others; Varlink, interface io.onward.Control
  /var/lib/onward  what should survive a restart: the last good list of servers, the addresses that pods were given
  /var/lib/onward/integrate  what `onward integrate` has replaced, for `onward revert`
Exit status:
  0  done
  1, 2  of `onward status`: something is wrong; no DNS; 1 of `onward doctor`: something is wrong; 1 of `onward integrate --check`: something would be changed
  64  the command line makes no sense
  69  the daemon does not run, or does not answer; pods do not reach it
  70  a fault of Onward itself
  71  the system does not give what is needed: a port, a file, a thread
  74  the result could not be written
  77  a privilege is missing
  78  the configuration has faults, or can never work on this node
Example: onward check --print";

/// The command line.
#[derive(Debug, Parser)]
#[command(
    name = "onward",
    version,
    about = "A caching DNS forwarder for Kubernetes nodes that never forwards a query back to where it came from",
    long_about = "A caching DNS forwarder for Kubernetes nodes that never forwards a query back to where it came from.\n\n\
                  Onward answers on the node's own address, which pods can reach, asks the servers that the node itself \
                  uses, and writes a resolv.conf that kubelet can give to pods.",
    after_help = "Configuration: /etc/onward/onward.toml, /etc/onward/onward.toml.d/*.toml, variables that begin with ONWARD_.\n\
                  Example: onward check --print",
    after_long_help = AFTER_LONG_HELP,
    disable_help_subcommand = true
)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do. In the order of the help.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "a comment here would replace the help texts that stand with the arguments")]
pub enum Command {
    Run(RunArgs),
    Check(CheckArgs),
    Status(StatusArgs),
    Discover(DiscoverArgs),
    Doctor(DoctorArgs),
    Explain(ExplainArgs),
    Monitor(MonitorArgs),
    Flush(FlushArgs),
    Integrate(IntegrateArgs),
    Revert(RevertArgs),
    #[command(hide = true)]
    ClusterFacts(ClusterFactsArgs),
    #[command(hide = true)]
    Dedicated(DedicatedArgs),
}

/// `onward run`.
#[derive(Debug, Clone, Default, Args)]
#[command(
    about = "Answer DNS queries until told to stop",
    long_about = "Answer DNS queries until told to stop.\n\nSIGHUP reads the configuration and the sources of servers anew; \
                  SIGTERM answers what is in progress, then ends; a second SIGTERM ends at once. Under systemd, with its \
                  descriptor store, sockets and what is in progress are left to the next process instead.",
    after_help = "Examples:\n  onward run\n  \
                  onward run --listen 10.0.0.1:5300 --upstream 9.9.9.9 --resolv-conf ./resolv.conf --state-dir ./state"
)]
pub struct RunArgs {
    /// Read this file instead of those in /etc/onward and /usr/lib/onward
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Listen here: node, an address with an optional port, interface:NAME, or dedicated:ADDRESS; may be repeated
    #[arg(long, value_name = "WHERE")]
    pub listen: Vec<String>,
    /// Ask this server, an address with an optional port, instead of discovering servers; may be repeated
    #[arg(long, value_name = "SERVER")]
    pub upstream: Vec<String>,
    /// Write the file for kubelet here instead of /run/onward/resolv.conf
    #[arg(long, value_name = "PATH")]
    pub resolv_conf: Option<PathBuf>,
    /// Keep here, instead of in /var/lib/onward, what should survive a restart
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Be asked here, by `onward status` and others, instead of at /run/onward/control.sock
    #[arg(long, value_name = "PATH")]
    pub control_socket: Option<PathBuf>,
    /// How much to log: error, warn, info or debug
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// Say that this program stands in for that one, which cannot run; the service's own start says so
    #[arg(long, value_name = "PROGRAM", hide = true)]
    pub in_place_of: Option<PathBuf>,
}

/// `onward discover`.
#[derive(Debug, Clone, Default, Args)]
#[command(
    about = "Show which servers Onward would ask, which not, and why",
    long_about = "Show which servers Onward would ask, which not, and why: each candidate with the file and line that names \
                  it, the search list and the options.\n\nNothing is asked or changed, no daemon and no privilege is needed.",
    after_help = "Examples:\n  onward discover\n  onward discover --json | jq '.candidates[] | select(.use)'\n  \
                  onward discover --resolv-conf >resolv.conf"
)]
pub struct DiscoverArgs {
    /// Read this file instead of those in /etc/onward and /usr/lib/onward
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Take this server, an address with an optional port, instead of looking for servers; may be repeated
    #[arg(long, value_name = "SERVER")]
    pub upstream: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Print a resolv.conf that names these servers themselves, for pods of a node without Onward
    #[arg(long, conflicts_with = "json")]
    pub resolv_conf: bool,
}

/// `onward check`.
#[derive(Debug, Clone, Default, Args)]
#[command(
    about = "Check the configuration and tell every fault",
    long_about = "Check the configuration: files, then variables that begin with ONWARD_.\n\nTells every fault at once, each \
                  with its file and line, on standard error, and ends with 78 if there is one. Warnings tell what holds but \
                  will not work on this node, or not as meant; they do not change the exit code. Nothing is changed.",
    after_help = "Examples:\n  onward check\n  onward check --as-service\n  onward check --config ./onward.toml --print"
)]
pub struct CheckArgs {
    /// Read this file instead of those in /etc/onward and /usr/lib/onward
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Judge as onward.service would meet it: with its user, its variables and its flags, not those of this shell
    #[arg(long)]
    pub as_service: bool,
    /// Print what holds, as TOML, with a comment on each key saying where its value came from
    #[arg(long)]
    pub print: bool,
    /// Print one JSON object: valid, faults, warnings, notes, and what holds
    #[arg(long)]
    pub json: bool,
}

/// `onward cluster-facts`, which onward-cluster.service calls.
#[derive(Debug, Clone, Default, Args)]
#[command(
    about = "Tell what kubelet, k3s and RKE2 on this node are told, as JSON",
    long_about = "Tell what kubelet, k3s and RKE2 on this node are told, as JSON: clusterDNS, clusterDomain, nodeIP, \
                  resolvConf, which programs start pods, and what could not be read.\n\nRun as root it knows more than \
                  the service does, which has a user of its own: onward-cluster.service leaves its result in \
                  /run/onward/cluster.json.",
    after_help = "Example:\n  onward cluster-facts"
)]
pub struct ClusterFactsArgs {
    /// Write this file, all at once, instead of standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `onward dedicated`, which onward-dedicated.service calls.
#[derive(Debug, Clone, Default, Args)]
#[command(
    about = "Put the dedicated addresses of the configuration on this node",
    long_about = "Put the dedicated addresses of the configuration (listen = \"dedicated:169.254.53.53\") on this node, on a \
                  link of their own, onward0, which is made if need be.\n\nAn address that another link has, that is in a \
                  network routed here or in that of Services is left out and told, with 78 as the exit code. What is there \
                  already stays, also what the configuration does not name any more: `ip link delete onward0` takes all \
                  away. It needs CAP_NET_ADMIN and ip of iproute2; onward-dedicated.service calls it.",
    after_help = "Example:\n  onward dedicated"
)]
pub struct DedicatedArgs {
    /// Read this file instead of those in /etc/onward and /usr/lib/onward
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl CommandLine {
    /// Does what the command line says, and writes the result to `out`.
    ///
    /// # Errors
    /// Where the command fails; nothing of it has been told yet.
    pub fn run(&self, out: &mut dyn Write) -> Result<(), Failure> {
        match &self.command {
            Command::Run(args) => run::run(args),
            Command::Check(args) => check::check(args, out),
            Command::Status(args) => status::run(args, out),
            Command::Discover(args) => discover::run(args, out),
            Command::Doctor(args) => doctor::run(args, out),
            Command::Explain(args) => explain::run(args, out),
            Command::Monitor(args) => monitor::run(args, out),
            Command::Flush(args) => flush::run(args, out),
            Command::Integrate(args) => integrate::integrate(args, out),
            Command::Revert(args) => integrate::revert(args, out),
            Command::ClusterFacts(args) => cluster_facts::run(args, out),
            Command::Dedicated(args) => dedicated::run(args, out),
        }
    }
}

/// Tells why the program failed, on standard error; where that is the journal, with the priority of an error
/// (sd-daemon(3)), so that `journalctl -p err` shows it.
pub fn tell(failure: &str) {
    let priority = if logging::goes_to_journal() { "<3>" } else { "" };
    let lines: String = failure.lines().map(|line| format!("{priority}{line}\n")).collect();
    let _ = std::io::stderr().write_all(lines.as_bytes());
}

impl RunArgs {
    /// What the flags say of the configuration.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        let Self { config, listen, upstream, resolv_conf, state_dir, control_socket, log_level, in_place_of: _ } =
            self.clone();
        Overrides { config, listen, upstream, resolv_conf, state_dir, control_socket, log_level }
    }
}

impl DiscoverArgs {
    /// What the flags say of the configuration.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides { config: self.config.clone(), upstream: self.upstream.clone(), ..Overrides::default() }
    }
}

#[cfg(test)]
mod tests;
