"""The upstreams: Knot, which answers at once, and a scripted one that is late and counts."""
import contextlib
import json
import pathlib
import sys
import time

from .process import Process


def knot(directory, address, cpus):
    """Knot with the zone `example.`: h0 to h1999, and a wildcard, for an hour."""
    home = directory / f"knot-{address}"
    home.mkdir()
    names = "".join(f"h{number} A 192.0.2.{number % 250 + 1}\n" for number in range(2000))
    (home / "zone").write_text(f"$TTL 3600\n@ SOA ns. h. 1 3600 600 86400 60\n@ NS ns\nns A {address}\n* A 192.0.2.9\n{names}")
    (home / "knot.conf").write_text(f"""
server:
  rundir: {home}
  listen: {address}@53
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
database:
  storage: {home}
log:
  - target: stderr
    any: warning
zone:
  - domain: example.
    file: {home}/zone
    zonefile-sync: -1
    journal-content: none
""")
    return Process(["knotd", "-c", home / "knot.conf"], cpus, home / "log")


@contextlib.contextmanager
def scripted(directory, lateness, cpus, *addresses):
    """One scripted upstream on each address, `lateness` as its script wants it; yields the processes and their counts."""
    script = pathlib.Path(__file__).with_name("scripted_upstream.py")
    files = [directory / f"counts-{address}.json" for address in addresses]
    processes = [Process([sys.executable, script, address, file, *lateness], cpus, directory / f"scripted-{address}.log")
                 for address, file in zip(addresses, files)]
    time.sleep(0.5)
    counts = Counts(files)
    with contextlib.ExitStack() as stack:
        stack.callback(counts.read)  # runs last, when all have ended and written
        for process in processes:
            stack.enter_context(process)
        yield processes, counts


class Counts:
    """How often the names of the load were asked, over all upstreams; known when they have ended."""

    def __init__(self, files):
        self.files, self.total = files, None

    def read(self):
        self.total = sum(sum(json.loads(file.read_text()).values()) for file in self.files)
