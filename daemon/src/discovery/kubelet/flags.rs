//! The flags of a running kubelet that matter here, from its command line in /proc.

use super::split;
use crate::discovery::root::Root;

/// Flags of kubelet; empty where not given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) config: Option<String>,
    pub(super) config_directory: Option<String>,
    pub(super) cluster_dns: Vec<String>,
    pub(super) node_ip: Vec<String>,
}

impl Flags {
    /// Those of the first process that is called kubelet; none where none runs.
    pub(super) fn of_running(root: &Root, unknown: &mut Vec<String>) -> Self {
        let Ok(names) = root.list("/proc") else {
            unknown.push("/proc cannot be listed: whether kubelet runs, and how, is unknown".to_owned());
            return Self::default();
        };
        for name in names.iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())) {
            let Ok(Some(line)) = root.read_text(format!("/proc/{name}/cmdline")) else { continue };
            let mut words = line.split('\0');
            let program = words.next().unwrap_or_default().rsplit('/').next().unwrap_or_default();
            // `hyperkube kubelet …` and snaps have the program's name second.
            if program == "kubelet" || words.clone().next() == Some("kubelet") {
                return Self::parse(words);
            }
        }
        Self::default()
    }

    /// `--name=value`, `--name value`, and `name=value`, as in k3s' `kubelet-arg`.
    pub(super) fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let mut flags = Self::default();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            let bare = word.trim_start_matches('-');
            let (name, value) = match bare.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => match words.next_if(|next| !next.starts_with('-')) {
                    Some(value) => (bare, value.to_owned()),
                    None => continue,
                },
            };
            match name {
                "config" => flags.config = Some(value),
                "config-dir" => flags.config_directory = Some(value),
                "cluster-dns" => flags.cluster_dns.extend(split(&[value])),
                "node-ip" => flags.node_ip = split(&[value]),
                _ => {}
            }
        }
        flags
    }
}
