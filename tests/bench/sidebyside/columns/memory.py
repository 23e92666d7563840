"""Resident memory: after the start, and with 100,000 names in the cache."""
from .. import load
from ..bench import NotMeasured
from .column import Column, Figure

NAMES = 100_000


class Memory(Column):
    key = "memory"
    figures = [Figure("idle", "memory, idle", "MiB", 1), Figure("full", "memory with 100,000 names", "MiB", 1)]
    once = True

    def measure(self, bench, peer):
        setting = bench.setting(peer)
        names = load.new_names(setting.directory / "names", NAMES)
        with bench.knot(), bench.running(peer, setting) as process:
            idle = process.rss_mib()
            if peer.holds and peer.holds < NAMES:
                return {"idle": idle}
            seen = load.dnsperf(names, bench.load_cpus, "-n", 1, "-c", 20, "-q", 60, "-Q", 20_000)
            if seen.lost > NAMES / 100:
                raise NotMeasured(f"{seen.lost} of {NAMES} questions were lost")
            return {"idle": idle, "full": process.rss_mib()}
