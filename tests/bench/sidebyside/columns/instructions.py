"""Instructions in user space for each cached answer, counted by valgrind: the machine's mood does not touch it."""
import re

from .. import load
from ..bench import NotMeasured
from .column import Column, Figure

FEWER, MORE, NAMES = 20_000, 120_000, 1000


class Instructions(Column):
    """The difference between a run with 120,000 answers and one with 20,000, so that the start does not count."""
    key = "instructions"
    figures = [Figure("instructions", "instructions of a cached answer", "", 0)]
    once = True

    def is_for(self, name):
        return True

    def measure(self, bench, peer):
        if not peer.countable:
            raise NotMeasured("valgrind cannot run it")
        fewer, more = (count(bench, peer, answers) for answers in (FEWER, MORE))
        return {"instructions": (more - fewer) / (MORE - FEWER)}


def count(bench, peer, answers):
    """Instructions of a whole run with that many cached answers."""
    setting = bench.setting(peer)
    told = setting.directory / "callgrind"
    valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--max-stackframe=8388608", f"--log-file={told}.%p"]
    names = load.known_names(setting.directory / "names", FEWER, NAMES)
    with bench.knot(), bench.running(peer, setting, wrapper=valgrind):
        seen = load.dnsperf(names, bench.load_cpus, "-n", answers // FEWER, "-c", 4, "-q", 8, "-t", 30)
        if seen.lost:
            raise NotMeasured(f"{seen.lost} answers of {answers} were lost under valgrind")
    collected = [int(number) for log in told.parent.glob("callgrind.*")
                 for number in re.findall(r"Collected : (\d+)", log.read_text(errors="replace"))]
    if not collected:
        raise NotMeasured("valgrind told no count")
    return max(collected)
