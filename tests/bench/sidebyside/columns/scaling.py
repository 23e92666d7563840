"""Two workers against one, on two processors that have nothing else to do."""
import signal

from .. import load
from ..bench import NotMeasured
from .column import Column, Figure

NAMES, BURSTS = 1000, 40
#: Of a burst so many may be lost before its figure means nothing.
LOST = 0.02


class Workers(Column):
    """Cached answers a second, taken without a load beside: the program is stopped, queries are laid before it, and it is let
    go. The kernel notes when each answer comes, while whoever asked sleeps."""
    key = "workers"
    figures = [Figure("workers", "cached answers a second with 2 workers, against 1 (more is better)", "×", alone=True)]

    def is_for(self, name):
        return name == "onward"

    def measure(self, bench, peer):
        if len(bench.cpus) < 2:
            raise NotMeasured("there is one processor only")
        one, two = (rate(bench, peer, workers) for workers in (1, 2))
        return {"workers": two / one}


def rate(bench, peer, workers):
    """Answers a second in the fastest of some bursts: whatever else runs on the machine, or beside it, only slows them down."""
    setting = bench.setting(peer, workers=workers)
    each = load.each_name(setting.directory / "each", NAMES)
    with bench.knot(), bench.running(peer, setting, set(bench.cpus[:2])) as process, load.Burst(NAMES) as burst:
        load.dnsperf(each, bench.load_cpus, "-n", 1, "-c", 10, "-q", 50)
        return max(one_rate(process, burst) for _ in range(BURSTS))


def one_rate(process, burst):
    process.signal(signal.SIGSTOP)
    burst.ask()
    process.signal(signal.SIGCONT)
    answers, seconds = burst.answers()
    if answers < (1 - LOST) * burst.size:
        raise NotMeasured(f"{burst.size - answers} answers of {burst.size} were lost")
    return answers / seconds
