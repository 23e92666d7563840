//! `onward integrate` asks from the networks of pods that run: what stands between them and Onward is named, and
//! nothing is changed then.

use std::process::Command;

use onward_tests::lab::{Lab, NODE, UPSTREAMS};
use onward_tests::process::Process;
use onward_tests::upstream::{Reply, Scripted};
use onward_tests::{onward, peers};

/// The node's programs, in a PID namespace of their own: a kubelet, and a process of a pod in the network that
/// descriptor 3 leads to. Then `onward` with the arguments that follow, and its exit code.
const SCRIPT: &str = r#"
mkdir -p /run/groups && mount -t cgroup2 none /run/groups
group=/run/groups/kubepods-$GROUP && mkdir "$group"
bash -c 'exec -a /usr/bin/kubelet bash -c "sleep 600; :" -- --config-dir=/etc/kubernetes/kubelet.conf.d' &
nsenter --net=/proc/self/fd/3 sh -c "echo 0 >$group/cgroup.procs; exec sleep 600" &
pod=$!
has_begun() { grep -qs kubepods /proc/$pod/cgroup && cat /proc/[0-9]*/cmdline | tr '\0' ' ' | grep -q '/usr/bin/kubelet -c'; }
for _ in $(seq 250); do ! has_begun || break; sleep 0.02; done
"$ONWARD" "$@"
echo "exit code $?"
kill $pod; wait $pod 2>/dev/null
rmdir "$group" 2>/dev/null
"#;

/// What the drop-in is that kubelet gets.
const DROPIN: &str = "/etc/kubernetes/kubelet.conf.d/90-onward.conf";

/// A node with Onward, and an upstream that knows every name.
struct Node {
    lab: Lab,
    _onward: Process,
    _upstream: Scripted,
}

impl Node {
    fn start() -> Option<Self> {
        let lab = Lab::new()?;
        let upstream = Scripted::start(lab.upstream.net(), Lab::upstream_address(0), |seen| {
            Reply::now(seen.address([192, 0, 2, 1], 60))
        });
        let onward = onward::with_upstreams(&lab, &[UPSTREAMS[0]]);
        Some(Self { lab, _onward: onward, _upstream: upstream })
    }

    /// Runs `onward` beside a kubelet and a pod: all that it says, the exit code last.
    fn onward(&self, arguments: &[&str]) -> String {
        let mut words =
            vec!["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-c", SCRIPT, "onward"];
        words.extend(arguments);
        let inner = self.lab.node.command(&words);
        let mut command = Command::new("bash");
        let network = format!("/run/netns/{}", self.lab.pod.net().name());
        command.args(["-c", "exec 3<\"$0\"; exec \"$@\" 2>&1"]).arg(network).arg(inner.get_program());
        command.args(inner.get_args()).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("ONWARD", peers::onward()).env("GROUP", self.lab.node.net().name());
        let output = command.output().expect("bash");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn rules(&self, rules: &str) {
        self.lab.node.write("/etc/rules.nft", rules);
        for words in [&["sysctl", "-qw", "net.ipv4.ip_forward=1"][..], &["nft", "-f", "/etc/rules.nft"]] {
            let status = self.lab.node.command(words).status().expect("nftables and procps are installed");
            assert!(status.success(), "{words:?}");
        }
    }

    fn is_integrated(&self) -> bool {
        self.lab.node.path(DROPIN).exists()
    }
}

#[test]
fn a_pod_that_reaches_onward_is_told_and_kubelet_is_integrated() {
    let Some(node) = Node::start() else { return };
    let said = node.onward(&["integrate", "kubelet"]);
    assert!(said.contains(&format!("Onward answers on {NODE}, over UDP and TCP, from ")), "{said}");
    assert!(said.contains(&format!("created {DROPIN}")) && said.ends_with("exit code 0\n"), "{said}");
    assert!(node.is_integrated());
    let again = node.onward(&["integrate", "kubelet", "--check", "--json"]);
    assert!(again.contains("\"changed\":false") && again.ends_with("exit code 0\n"), "{again}");
    assert!(node.onward(&["revert"]).contains(&format!("removed {DROPIN}")) && !node.is_integrated());
}

#[test]
fn what_stands_between_pods_and_onward_is_named_and_nothing_is_changed() {
    let Some(node) = Node::start() else { return };
    let drop = |what: &str| {
        format!(
            "flush ruleset\ntable ip t {{\nchain c {{\ntype filter hook input priority 0;\niifname pod0 {what}\n}}\n}}\n"
        )
    };
    // Another server answers in Onward's place, as with a hostPort on 53.
    let redirect = "flush ruleset\ntable ip t {\n\
        chain a {\ntype nat hook prerouting priority dstnat;\niifname pod0 udp dport 53 dnat to 10.99.0.53\n}\n\
        chain b {\ntype nat hook postrouting priority srcnat;\noifname eth0 masquerade\n}\n}\n";
    for (rules, told) in [
        (
            drop("udp dport 53 drop"),
            "over UDP: nothing comes back: a firewall or a NetworkPolicy lets the other transport pass",
        ),
        (drop("tcp dport 53 drop"), "over TCP: nothing comes back"),
        (drop("meta l4proto { tcp, udp } drop"), "nothing comes back: a firewall on the node that drops port 53"),
        (
            drop("tcp dport 53 reject with tcp reset"),
            "over TCP: the connection is refused, though Onward answers the node",
        ),
        (redirect.to_owned(), "over UDP: another program answers (code 0): something redirects port 53"),
    ] {
        node.rules(&rules);
        let said = node.onward(&["integrate", "kubelet"]);
        assert!(said.contains(&format!("does not reach {NODE}")) && said.contains(told), "{rules}: {said}");
        assert!(said.ends_with("nothing is changed; --force does it all the same\nexit code 69\n"), "{said}");
        assert!(!node.is_integrated());
    }
    let said = node.onward(&["integrate", "kubelet", "--force"]);
    assert!(
        said.contains("note: ") && said.contains("another program answers") && said.ends_with("exit code 0\n"),
        "{said}"
    );
    assert!(node.is_integrated());
}
