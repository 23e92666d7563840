"""The programs that are needed: finds them, installs those of Debian that are missing, builds the others."""
import os
import pathlib
import shutil
import subprocess
import sys

#: Program and its Debian package.
PACKAGES = {
    "ip": "iproute2", "unshare": "util-linux", "gcc": "gcc", "dnsperf": "dnsperf", "knotd": "knot", "valgrind": "valgrind",
    "dnsdist": "dnsdist", "unbound": "unbound", "dnsmasq": "dnsmasq-base", "smartdns": "smartdns",
}
POLICY = pathlib.Path("/usr/sbin/policy-rc.d")


def provide(root, options):
    """Sees to it that all programs are there, or ends with what to do."""
    if os.geteuid() != 0:
        sys.exit("tests/bench/run: namespaces need root: sudo env \"PATH=$PATH\" tests/bench/run")
    if len(os.sched_getaffinity(0)) < 2:
        sys.exit("tests/bench/run: needs two processors: one for the peer, one for the load and the upstream")
    install(sorted({package for program, package in PACKAGES.items() if not shutil.which(program)}))
    options.output.mkdir(parents=True, exist_ok=True)
    built = paths(root, options)
    if "onward" in options.peers and not options.onward:
        subprocess.run(["cargo", "build", "--release", "--package", "onward", "--bin", "onward"], cwd=root, check=True)
    if "coredns" in options.peers and not built["coredns"].exists():
        go = subprocess.run([root / "tests/run", "--go"], capture_output=True, text=True).stdout.strip()
        if not go:
            sys.exit("tests/bench/run: no Go that can build CoreDNS: run tests/run --install first, or leave coredns out")
        built["coredns"].parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([go, "build", "-trimpath", "-o", built["coredns"], "."], cwd=root / "tests/coredns", check=True)
    source = root / "tests/bench/echo.c"
    subprocess.run(["gcc", "-O2", "-Wall", "-o", built["echo"], source], check=True)


def paths(root, options):
    """Where the programs are that no package brings."""
    return {
        "onward": (options.onward or root / "target/release/onward").resolve(),
        "coredns": root / "target/peers/coredns",
        "echo": options.output.resolve() / "echo",
    }


def install(packages):
    """Installs packages without starting what is in them (Debian policy, section 9.3.3.1)."""
    if not packages:
        return
    if not shutil.which("apt-get"):
        sys.exit(f"tests/bench/run: install these first (Debian's names): {' '.join(packages)}")
    forbid = not POLICY.exists()
    if forbid:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "-qq", "update"], check=True, env=quiet)
        subprocess.run(["apt-get", "-qq", "install", "--no-install-recommends", *packages], check=True, env=quiet)
        for service in set(packages) & {"knot", "unbound", "dnsdist", "smartdns"} if shutil.which("systemctl") else ():
            subprocess.run(["systemctl", "disable", "--quiet", service])  # nor at the next boot
    finally:
        if forbid:
            POLICY.unlink()
