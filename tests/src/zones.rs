//! What the upstream knows: every shape of answer that a forwarder must carry unharmed.

/// The root, as a recursive server would answer for names that do not exist.
pub const ROOT: &str = "\
. 300 SOA ns.test.example. hostmaster.test.example. 1 3600 600 86400 60
. 300 NS ns.test.example.
";

/// A zone of odd records. `IDENTITY` is replaced by the address of the server that serves it.
pub const ODD: &str = r#"
$ORIGIN odd.example.
$TTL 300
@          SOA ns hostmaster 1 3600 600 86400 60
@          NS ns
ns         A 192.0.2.1
www        A 192.0.2.10
www        AAAA 2001:db8::10
who        TXT "IDENTITY"
short      5 A 192.0.2.11
zero       0 A 192.0.2.12
many       A 192.0.2.21
many       A 192.0.2.22
many       A 192.0.2.23
mail       MX 10 www
mail       MX 20 ns
_dns._udp  SRV 1 2 53 ns
private    TYPE65280 \# 4 0A000001
empty      TYPE65281 \# 0
caa        CAA 0 issue "ca.example"
caa        CAA 128 tbs "unknown"
https      HTTPS 1 . alpn="h2,h3" port=8443 ipv4hint=192.0.2.10 ech="AEj+DQ==" ipv6hint=2001:db8::10 key65000="x"
svcb       SVCB 0 www
naptr      NAPTR 100 10 "u" "sip+E2U" "!^.*$!sip:info@example.com!" .
uri        TYPE256 \# 15 000A 0001 66 74 70 3A 2F 2F 78 2E 79 2F 7A
loc        LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m
chain      CNAME chain2
chain2     CNAME www
nodata     CNAME nodata2
nodata2    CNAME mail
gone       CNAME gone2
gone2      CNAME nothing.odd.example.
*.wild     TXT "from the wildcard"
\000bin    A 192.0.2.30
a\.dot     A 192.0.2.31
"#;

/// `medium`, which fits into 1232 bytes but not into 512, and `long`, which is whole over TCP only.
#[must_use]
pub fn long() -> String {
    let text = "0123456789abcdef".repeat(12);
    let line = |name: &str, number: i32| format!("{name} 300 TXT \"{number:02} {text}\"\n");
    (0..4).map(|number| line("medium", number)).chain((0..12).map(|number| line("long", number))).collect()
}

/// A small zone that Knot signs, with NSEC for what it does not hold.
pub const SIGNED: &str = r#"
$ORIGIN signed.example.
$TTL 300
@      SOA ns hostmaster 1 3600 600 86400 60
@      NS ns
ns     A 192.0.2.1
www    A 192.0.2.40
alias  CNAME www
*.wild A 192.0.2.41
"#;
