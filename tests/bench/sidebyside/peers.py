"""The peers, each as its command for a setting: one processor, a cache with room, nothing that they log for each query."""
import pathlib
from dataclasses import dataclass
from typing import Callable

from .namespace import SERVER


@dataclass
class Setting:
    """What a peer is to be: a forwarder to `upstreams`, whose files go to `directory`."""
    directory: pathlib.Path
    programs: dict
    upstreams: list
    workers: int = 1
    #: How many answers the cache is to hold; `None` leaves it as Onward has it by default.
    entries: int | None = None

    def file(self, name, text):
        path = self.directory / name
        path.write_text(text)
        return path


@dataclass(frozen=True)
class Peer:
    """`command` makes what starts it."""
    name: str
    command: Callable
    #: Whether it answers questions; `echo` sends back what came.
    resolves: bool = True
    #: Whether valgrind can run it (a Go program it cannot).
    countable: bool = True
    #: How many names it can hold at most, where that is few.
    holds: int | None = None


def echo(setting):
    return [setting.programs["echo"], SERVER, "53"]


def onward(setting):
    quoted = ", ".join(f'"{upstream}"' for upstream in setting.upstreams)
    cache = "" if setting.entries is None else f'[cache]\nmax_entries = {setting.entries}\nmax_bytes = "1GiB"\n'
    return [setting.programs["onward"], "run", "--config", setting.file("onward.toml", f"""
listen = ["{SERVER}"]
workers = {setting.workers}
state_dir = "{setting.directory}/state"
[upstreams]
servers = [{quoted}]
[resolv_conf]
path = "{setting.directory}/resolv.conf"
{cache}""")]


def dnsdist(setting):
    servers = "".join(
        f"newServer({{address='{upstream}:53', checkName='h1.example.', useClientSubnet=false}})\n" for upstream in setting.upstreams)
    return ["dnsdist", "--supervised", "--disable-syslog", "-C", setting.file("dnsdist.conf", f"""
setLocal('{SERVER}:53')
setACL('10.53.0.0/16')
setMaxUDPOutstanding(65535)
{servers}getPool(''):setCache(newPacketCache(300000, {{maxTTL=86400}}))
""")]


def unbound(setting):
    servers = "".join(f"  forward-addr: {upstream}\n" for upstream in setting.upstreams)
    return ["unbound", "-d", "-p", "-c", setting.file("unbound.conf", f"""
server:
  interface: {SERVER}
  access-control: 10.53.0.0/16 allow
  do-not-query-localhost: no
  num-threads: 1
  username: ""
  chroot: ""
  directory: {setting.directory}
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  msg-cache-size: 128m
  rrset-cache-size: 256m
  outgoing-range: 4096
  num-queries-per-thread: 2048
  incoming-num-tcp: 100
forward-zone:
  name: "."
{servers}""")]


def dnsmasq(setting):
    servers = [word for upstream in setting.upstreams for word in ("--server", upstream)]
    return ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces",
            f"--listen-address={SERVER}", "--cache-size=10000", "--dns-forward-max=2000", "--user=root",
            f"--pid-file={setting.directory}/dnsmasq.pid", "--log-facility=/dev/null", *servers]


def smartdns(setting):
    servers = "".join(f"server {upstream}\n" for upstream in setting.upstreams)
    return ["smartdns", "-f", "-x", "-p", "-", "-c", setting.file("smartdns.conf", f"""
bind {SERVER}:53
bind-tcp {SERVER}:53
speed-check-mode none
dualstack-ip-selection no
cache-size 300000
cache-persist no
prefetch-domain no
log-level fatal
{servers}""")]


def coredns(setting):
    return ["env", "GOMAXPROCS=1", setting.programs["coredns"], "-conf", setting.file("Corefile", f"""
.:53 {{
    bind {SERVER}
    errors
    cache {{
        success 300000
        denial 300000
    }}
    forward . {" ".join(setting.upstreams)} {{
        policy sequential
    }}
}}
""")]


ALL = {peer.name: peer for peer in [
    Peer("echo", echo, resolves=False),
    Peer("onward", onward),
    Peer("dnsdist", dnsdist),
    Peer("unbound", unbound),
    Peer("dnsmasq", dnsmasq, holds=10_000),
    Peer("smartdns", smartdns),
    Peer("coredns", coredns, countable=False),
]}
