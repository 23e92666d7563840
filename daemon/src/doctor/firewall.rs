//! What keeps pods from port 53 of this node, as far as its firewall tells, and the commands that open it.
//!
//! Whether pods are kept from it at all is found out by asking (`integrate::reach`); here the rules are read, to say
//! which of them it is. Rules of iptables' older kind, and of other nodes, are not seen.

use std::process::Command;

use ipnet::IpNet;

use crate::discovery::Root;

/// Maximum size of a list of rules that is read, in bytes: nodes with many Services have some.
const RULES_MAX: usize = 16 << 20;

/// The node's firewall.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Firewall {
    keeper: Keeper,
    /// What `nft --handle list ruleset` says.
    rules: String,
}

/// Whose business the rules are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Keeper {
    /// firewalld.
    Firewalld,
    /// ufw.
    Ufw,
    /// No program that is known.
    #[default]
    Nobody,
}

/// A rule or a policy that drops or rejects what comes to port 53.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Closed<'r> {
    /// Family and name, as `inet filter`.
    table: &'r str,
    chain: &'r str,
    /// The rule, or the chain's first line.
    what: &'r str,
    /// Whether iptables made the table, which is to be changed by it.
    is_iptables: bool,
}

impl Firewall {
    /// Asks the programs. What cannot be read, without root for one, is as if there were nothing.
    #[must_use]
    pub(crate) fn look(root: &Root) -> Self {
        let said = |program: &str, words: &[&str]| {
            Command::new(program).args(words).output().ok().filter(|it| it.status.success())
        };
        let is_ufw = root
            .read_text("/etc/ufw/ufw.conf")
            .ok()
            .flatten()
            .is_some_and(|text| text.lines().any(|line| line.trim() == "ENABLED=yes"));
        let keeper = match () {
            () if said("firewall-cmd", &["--state"]).is_some() => Keeper::Firewalld,
            () if is_ufw => Keeper::Ufw,
            () => Keeper::Nobody,
        };
        let rules = said("nft", &["--handle", "--numeric", "list", "ruleset"]).map(|output| output.stdout);
        let rules = rules.filter(|rules| rules.len() <= RULES_MAX).unwrap_or_default();
        Self { keeper, rules: String::from_utf8_lossy(&rules).into_owned() }
    }

    /// What closes the port, as evidence: table, chain and rule.
    pub(super) fn evidence(&self) -> Option<String> {
        self.closed().map(|Closed { table, chain, what, .. }| format!("table {table}, chain {chain}: {what}"))
    }

    /// The commands that open the port to pods of these networks, to paste.
    pub(super) fn cure(&self, pods: &[IpNet]) -> Vec<String> {
        let each = |command: &dyn Fn(&IpNet) -> Vec<String>| -> Vec<String> { pods.iter().flat_map(command).collect() };
        let family = |network: &IpNet| {
            if matches!(network, IpNet::V4(_)) { ("ipv4", "ip", "iptables") } else { ("ipv6", "ip6", "ip6tables") }
        };
        let mut commands = match (self.keeper, self.closed()) {
            (Keeper::Firewalld, _) => each(&|network| {
                let rule = format!(
                    "rule family=\"{}\" source address=\"{network}\" service name=\"dns\" accept",
                    family(network).0
                );
                vec![format!("firewall-cmd --permanent --add-rich-rule='{rule}' && firewall-cmd --reload")]
            }),
            (Keeper::Ufw, _) => each(&|network| vec![format!("ufw allow from {network} to any port 53")]),
            (Keeper::Nobody, Some(closed)) if closed.is_iptables => each(&|network| {
                let rule = |transport| {
                    format!(
                        "{} -I {} -s {network} -p {transport} --dport 53 -j ACCEPT",
                        family(network).2,
                        closed.chain
                    )
                };
                vec![rule("udp"), rule("tcp")]
            }),
            (Keeper::Nobody, Some(Closed { table, chain, .. })) => each(&|network| {
                let from = format!("{} saddr {network}", family(network).1);
                vec![format!("nft insert rule {table} {chain} {from} meta l4proto '{{ tcp, udp }}' th dport 53 accept")]
            }),
            (Keeper::Nobody, None) => {
                return vec![
                    "nft list ruleset | grep -n 'dport 53'".to_owned(),
                    "# open port 53, UDP and TCP, from the network of pods to this node".to_owned(),
                ];
            }
        };
        if self.keeper == Keeper::Nobody {
            commands
                .push("# and put it where the rules are kept for the next boot, as in /etc/nftables.conf".to_owned());
        }
        commands
    }

    /// The first rule for port 53 that closes it on the way to this node; else a policy that does.
    fn closed(&self) -> Option<Closed<'_>> {
        let (mut table, mut chain, mut is_iptables, mut warned, mut comes_in) = ("", "", false, false, false);
        let mut policy = None;
        for line in self.rules.lines() {
            let (text, _) = line.split_once(" # handle").unwrap_or((line, ""));
            let text = text.trim();
            if text.starts_with("# Warning: table") && text.contains("iptables") {
                warned = true;
            } else if let Some(name) = opens(text, "table ") {
                (table, is_iptables, chain) = (name, warned, "");
                warned = false;
            } else if let Some(name) = opens(text, "chain ") {
                (chain, comes_in) = (name, false);
            } else if text.starts_with("type filter hook ") {
                comes_in = ["input", "prerouting"].iter().any(|hook| text.contains(&format!("hook {hook} ")));
                if text.contains("hook input ") && text.ends_with("policy drop;") {
                    policy = policy.or(Some(Closed { table, chain, what: text, is_iptables }));
                }
            } else if comes_in && closes(text) {
                return Some(Closed { table, chain, what: text, is_iptables });
            }
        }
        policy
    }
}

/// The name of what a line opens, as in `chain input {`.
fn opens<'r>(text: &'r str, word: &str) -> Option<&'r str> {
    text.strip_prefix(word)?.split_once(" {").map(|(name, _)| name)
}

/// Whether a rule drops or rejects, and is for port 53.
fn closes(rule: &str) -> bool {
    let is_port = rule.split_once("dport ").is_some_and(|(_, ports)| {
        let ports = ports.strip_prefix('{').map_or_else(
            || ports.split(' ').next().unwrap_or_default(),
            |set| set.split('}').next().unwrap_or_default(),
        );
        ports.split(',').any(|port| covers(port.trim()))
    });
    let verdict = rule.split(' ').any(|word| matches!(word, "drop" | "reject"));
    is_port && verdict
}

/// Whether a port or a range of ports, as nft writes it, has 53 in it.
fn covers(ports: &str) -> bool {
    let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
    let number = |text: &str| text.parse::<u16>().ok();
    number(from).zip(number(to)).is_some_and(|(from, to)| (from..=to).contains(&53))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn firewall(rules: &str) -> Firewall {
        Firewall { rules: rules.to_owned(), ..Firewall::default() }
    }

    fn pods() -> Vec<IpNet> {
        vec!["10.244.0.0/24".parse().unwrap(), "fd00:244::/64".parse().unwrap()]
    }

    const NAT: &str = "table ip nat {\n\tchain prerouting { # handle 1\n\t\ttype nat hook prerouting priority -100; policy accept;\n\
                       \t\tudp dport 53 drop # handle 2\n\t}\n}\n";

    #[test]
    fn the_rule_that_closes_the_port_is_named_and_passed_before_it() {
        let shut = firewall(&format!(
            "{NAT}table inet shut {{ # handle 7\n\tchain input {{ # handle 1\n\t\ttype filter hook input priority 0; policy accept;\n\
             \t\ttcp dport 22 drop # handle 2\n\t\ttcp dport {{ 80, 443 }} drop # handle 3\n\
             \t\tiifname \"cni0\" meta l4proto {{ tcp, udp }} th dport {{ 22, 50-60 }} drop # handle 4\n\t}}\n}}\n"
        ));
        let rule = "iifname \"cni0\" meta l4proto { tcp, udp } th dport { 22, 50-60 } drop";
        assert_eq!(shut.evidence().as_deref(), Some(format!("table inet shut, chain input: {rule}").as_str()));
        let cure = shut.cure(&pods());
        assert_eq!(
            cure[0],
            "nft insert rule inet shut input ip saddr 10.244.0.0/24 meta l4proto '{ tcp, udp }' th dport 53 accept"
        );
        assert!(cure[1].contains("ip6 saddr fd00:244::/64") && cure[2].starts_with('#'), "{cure:?}");
    }

    #[test]
    fn a_policy_closes_what_no_rule_does_and_iptables_is_asked_for_its_own() {
        let policy = "# Warning: table ip filter is managed by iptables-nft, do not touch!\ntable ip filter { # handle 3\n\
                      \tchain INPUT { # handle 1\n\t\ttype filter hook input priority filter; policy drop;\n\
                      \t\tudp dport 53 counter packets 0 bytes 0 accept # handle 2\n\t}\n}\n";
        let shut = firewall(policy);
        assert!(
            shut.evidence().unwrap().starts_with("table ip filter, chain INPUT: type filter hook input"),
            "{shut:?}"
        );
        let cure = shut.cure(&pods());
        assert_eq!(cure[0], "iptables -I INPUT -s 10.244.0.0/24 -p udp --dport 53 -j ACCEPT");
        assert_eq!(cure[3], "ip6tables -I INPUT -s fd00:244::/64 -p tcp --dport 53 -j ACCEPT");
    }

    #[test]
    fn those_who_keep_the_rules_are_asked_to_change_them() {
        let kept = |keeper| Firewall { keeper, rules: String::new() }.cure(&pods()[..1]);
        assert_eq!(kept(Keeper::Ufw), ["ufw allow from 10.244.0.0/24 to any port 53"]);
        assert!(kept(Keeper::Firewalld)[0].contains("source address=\"10.244.0.0/24\" service name=\"dns\" accept'"));
        assert!(kept(Keeper::Nobody)[0].starts_with("nft list ruleset"), "nothing is known of the rules");
        assert_eq!(firewall(NAT).evidence(), None, "what is redirected there is no filter");
    }
}
