"""Upstreams that freeze, and one that is slow: what clients feel, and how many questions each of theirs costs."""
import contextlib
import signal
import threading

from .. import load, upstreams
from ..namespace import SECOND_UPSTREAM, UPSTREAM
from .column import Column, Figure

RATE, SECONDS = 50, 20
#: An answer later than this was felt, in seconds.
FELT = 0.1
#: What counts as the wait of a client that got no answer: it gave up after so many seconds.
GAVE_UP = 6.0


class Freezes(Column):
    """50 new names a second for 20 s; of two upstreams the first is frozen from the 3rd second to the 8th, the other from
    the 12th to the 17th."""
    key = "freezes"
    figures = [
        Figure("felt", "an upstream freezes: answers over 100 ms, of 1,000", "", 0),
        Figure("worst", "the worst of them", "ms", 1),
        Figure("asked", "questions sent for each", "", 2),
    ]
    once = True

    def measure(self, bench, peer):
        setting = bench.setting(peer, (UPSTREAM, SECOND_UPSTREAM))
        with upstreams.scripted(setting.directory, (), bench.load_cpus, UPSTREAM, SECOND_UPSTREAM) as (both, counts):
            with bench.running(peer, setting), frozen(both[0], 3, 8), frozen(both[1], 12, 17):
                waits = load.steady(RATE, SECONDS)
        seen = [GAVE_UP if wait is None else wait for wait in waits]
        return {
            "felt": sum(wait > FELT for wait in seen), "worst": max(seen) * 1000, "asked": counts.total / len(seen)}


class Slow(Column):
    """One upstream that answers after 80 ± 40 ms, one answer in a hundred 300 ms later; 50 new names a second for 20 s."""
    key = "slow"
    figures = [Figure("repeats", "an upstream is slow: questions sent for each", "", 2)]
    once = True
    LATENESS = (80, 40, 300, 0.01)

    def measure(self, bench, peer):
        setting = bench.setting(peer)
        with upstreams.scripted(setting.directory, self.LATENESS, bench.load_cpus, UPSTREAM) as (_, counts):
            with bench.running(peer, setting):
                waits = load.steady(RATE, SECONDS)
        return {"repeats": counts.total / len(waits)}


@contextlib.contextmanager
def frozen(process, start, end):
    """Stops a process `start` seconds from now, and lets it go on `end` seconds from now."""
    timers = [threading.Timer(start, process.signal, [signal.SIGSTOP]), threading.Timer(end, process.signal, [signal.SIGCONT])]
    for timer in timers:
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        process.signal(signal.SIGCONT)
