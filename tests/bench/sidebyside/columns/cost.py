"""CPU time of the peer for each answer, user and system, from /proc. The figure to quote: latencies and rates are the load's."""
from .. import load
from ..bench import NotMeasured
from .column import Column, Figure

#: Names that fit every cache.
WARM = 1000
#: Clients and queries under way, over UDP and over TCP.
UDP = ("-c", 20, "-q", 100)
TCP = ("-m", "tcp", "-c", 10, "-q", 60)
#: Of the answers so many may be lost before a figure means nothing.
LOST = 0.02


def cost(seconds, names, cpus, *arguments):
    """Microseconds an answer; `seconds` tells what the peer has taken so far."""
    before = seconds()
    seen = load.dnsperf(names, cpus, *arguments)
    spent = seconds() - before
    if seen.completed == 0 or seen.lost > LOST * (seen.completed + seen.lost):
        raise NotMeasured(f"{seen.lost} answers of {seen.completed + seen.lost} were lost")
    return spent / seen.completed * 1e6


class Hit(Column):
    """1,000 names, all in the cache."""
    key = "hit"
    figures = [Figure("hit", "CPU of a cached answer", "µs", is_cpu=True)]

    def is_for(self, name):
        return True

    def measure(self, bench, peer):
        return {"hit": warm_cost(bench, peer, bench.setting(peer), WARM, UDP)}


class Miss(Column):
    """Names that were never asked."""
    key = "miss"
    figures = [Figure("miss", "CPU of a miss", "µs", is_cpu=True)]

    def measure(self, bench, peer):
        setting = bench.setting(peer)
        names = load.new_names(setting.directory / "names", 100_000 * bench.seconds)
        with bench.knot(), bench.running(peer, setting) as process:
            return {"miss": cost(process.cpu_seconds, names, bench.load_cpus, "-l", bench.seconds, "-c", 20, "-q", 60)}


class Quiet(Column):
    """1,000 cached answers a second, then 500 misses a second: there each finds the processor asleep and its caches cold."""
    key = "quiet"
    figures = [
        Figure("quiet_hit", "CPU of a cached answer, at 1,000 a second", "µs", is_cpu=True, echo="quiet_hit"),
        Figure("quiet_miss", "CPU of a miss, at 500 a second", "µs", is_cpu=True, echo="quiet_hit"),
    ]
    HITS, MISSES = 1000, 500

    def is_for(self, name):
        return True

    def measure(self, bench, peer):
        setting = bench.setting(peer)
        directory = setting.directory
        each, known = load.each_name(directory / "each", WARM), load.known_names(directory / "names", 100_000, WARM)
        new = load.new_names(directory / "new", 2 * self.MISSES * bench.seconds)
        with bench.knot(), bench.running(peer, setting) as process:
            load.dnsperf(each, bench.load_cpus, "-n", 1, "-c", 10, "-q", 50)
            taken = {"quiet_hit": self.cost(bench, process, known, self.HITS)}
            if peer.resolves:
                taken["quiet_miss"] = self.cost(bench, process, new, self.MISSES)
            return taken

    @staticmethod
    def cost(bench, process, names, rate):
        return cost(process.ran_seconds, names, bench.load_cpus, "-l", bench.seconds, "-c", 20, "-Q", rate)


class Tcp(Column):
    """1,000 names, all in the cache, over ten connections that are kept."""
    key = "tcp"
    figures = [Figure("tcp", "CPU of a cached answer over TCP", "µs", is_cpu=True)]

    def measure(self, bench, peer):
        return {"tcp": warm_cost(bench, peer, bench.setting(peer), WARM, TCP)}


class Entries(Column):
    """What a cached answer costs among 1,000,000, against one among 1,000: caches of the processor, not ours."""
    key = "entries"
    figures = [Figure("entries", "a cached answer among 1,000,000 names, against 1,000", "×", alone=True)]
    once = True
    MANY = 1_000_000

    def is_for(self, name):
        return name == "onward"

    def measure(self, bench, peer):
        few, many = (
            warm_cost(bench, peer, bench.setting(peer, entries=2 * self.MANY), names, UDP) for names in (WARM, self.MANY))
        return {"entries": many / few}


def warm_cost(bench, peer, setting, names, arguments):
    """Fills the cache with `names` names, then measures."""
    each = load.each_name(setting.directory / "each", names)
    asked = each if names > WARM else load.known_names(setting.directory / "names", 100_000, names)
    with bench.knot(), bench.running(peer, setting) as process:
        load.dnsperf(each, bench.load_cpus, "-n", 1, "-c", 10, "-q", 50)
        return cost(process.cpu_seconds, asked, bench.load_cpus, "-l", bench.seconds, *arguments)
