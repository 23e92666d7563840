//! A host: a network namespace, and an `/etc`, `/run` and `/var/lib` of its own, so that nothing of the machine is read
//! or changed. Its files are plain files in a temporary directory: tests write and rename them from outside.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::netns::Namespace;
use crate::process::Process;

/// Files of the machine's `/etc` without which programs do not start.
const FROM_THE_MACHINE: [&str; 4] = ["ld.so.cache", "protocols", "services", "localtime"];

/// The users of the host; systemd-resolved insists on one of its own, which the machine need not have.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
    nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n\
    systemd-resolve:x:64053:64053::/:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnogroup:x:65534:\nsystemd-resolve:x:64053:\n";

/// The user id of `systemd-resolve` on a host.
pub const RESOLVE_USER: u32 = 64053;

/// What a program sees when it runs on the host: the host's directories in place of the machine's.
const VIEW: &str = r#"
mount --bind "$0/etc" /etc && mount --bind "$0/run" /run && mount --bind "$0/var/lib" /var/lib && exec "$@"
"#;

/// A host of the test network.
#[derive(Debug)]
pub struct Host {
    namespace: Namespace,
    directory: TempDir,
    started: AtomicU32,
}

impl Host {
    /// Makes a host without any link but loopback, and with an empty `/run` and `/var/lib`.
    ///
    /// # Panics
    /// If the namespace or the files cannot be made.
    #[must_use]
    pub fn new(role: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("onward-test-").tempdir().expect("a temporary directory");
        // Programs that give up root read their files here too.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).expect("open the directory");
        let host = Self { namespace: Namespace::new(role), directory, started: AtomicU32::new(0) };
        for path in ["run", "var/lib", "etc"] {
            fs::create_dir_all(host.path(path)).expect("make the host's directories");
        }
        for file in FROM_THE_MACHINE {
            // What the machine lacks, the host lacks too.
            let _ = fs::copy(Path::new("/etc").join(file), host.path("etc").join(file));
        }
        host.write("/etc/passwd", PASSWD);
        host.write("/etc/group", GROUP);
        host.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
        host.write("/etc/hosts", "127.0.0.1 localhost\n");
        host.write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        host
    }

    /// Its network namespace.
    #[must_use]
    pub fn net(&self) -> &Namespace {
        &self.namespace
    }

    /// Where a path of the host lies on the machine.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path.trim_start_matches('/'))
    }

    /// Writes a file of the host as careful programs do: beside it, then renamed over it.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write(&self, path: &str, text: &str) {
        let target = self.path(path);
        let beside = target.with_extension("new");
        fs::create_dir_all(target.parent().expect("a file is in a directory")).expect("make its directory");
        fs::write(&beside, text).unwrap_or_else(|error| panic!("write {path}: {error}"));
        fs::rename(&beside, &target).unwrap_or_else(|error| panic!("rename {path}: {error}"));
    }

    /// Reads a file of the host.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("read {path} of the host: {error}"))
    }

    /// A command on the host: in its network and with its files. Paths in `words` are those of the host, and outside
    /// of `/etc`, `/run` and `/var/lib` the machine's.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.namespace.name(), "unshare", "--mount", "--propagation", "private"]);
        command.args(["sh", "-c", VIEW]).arg(self.directory.path()).args(words);
        // A test under systemd or in CI must not lend its socket to the programs, nor its settings to Onward.
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Starts a program on the host.
    #[must_use]
    pub fn start(&self, words: &[&str]) -> Process {
        let name = Path::new(words[0]).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        Process::start(&name, self.command(words), self.path(&format!("{name}.{number}.log")))
    }
}
