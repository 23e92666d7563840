"""From the start of the program to its first answer, which it has to ask for."""
import time

from ..bench import PATIENCE, NotMeasured
from .. import load
from ..process import Process
from .column import Column, Figure


class Start(Column):
    key = "start"
    figures = [Figure("start", "start to first answer", "ms", 0)]

    def measure(self, bench, peer):
        with bench.knot():
            seconds = []
            for _ in range(2):  # the first start reads the program from disk
                setting = bench.setting(peer)
                command = peer.command(setting)
                began = time.monotonic()
                with Process(command, bench.peer_cpus, setting.directory / "log") as process:
                    if load.first_answer("h1.example", PATIENCE, process.has_ended) is None:
                        raise NotMeasured(f"no answer within {PATIENCE} s: {process.tail()}")
                    seconds.append(time.monotonic() - began)
        return {"start": seconds[-1] * 1000}
