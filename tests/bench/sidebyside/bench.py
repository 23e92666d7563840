"""What every column needs: processors, a directory for each start, a running peer."""
import contextlib
import itertools
import os
import time

from . import load, upstreams
from .namespace import UPSTREAM
from .peers import Setting
from .process import Process

#: How long a peer may take to answer for the first time, in seconds; under valgrind all is slow.
PATIENCE, PATIENCE_COUNTED = 15, 90


class NotMeasured(Exception):
    """A figure that could not be taken, and why."""


class Bench:
    """One measurement: where its files go, how long loads last, where programs are."""

    def __init__(self, directory, seconds, programs):
        self.seconds, self.programs = seconds, programs
        self.cpus = sorted(os.sched_getaffinity(0))
        #: The peer has the first processor for itself; load and upstream share the others.
        self.peer_cpus, self.load_cpus = {self.cpus[0]}, set(self.cpus[1:])
        self._root, self._numbers = directory, itertools.count(1)
        os.chmod(directory, 0o755)  # peers that give up root read their files all the same

    def directory(self, name):
        path = self._root / f"{next(self._numbers)}-{name}"
        path.mkdir()
        return path

    @contextlib.contextmanager
    def knot(self):
        directory = self.directory("upstream")
        with upstreams.knot(directory, UPSTREAM, self.load_cpus) as process:
            time.sleep(0.7)
            if process.has_ended():
                raise NotMeasured(f"knotd ended: {process.tail()}")
            process.pin(self.load_cpus)
            yield process

    def setting(self, peer, servers=(UPSTREAM,), **more):
        return Setting(self.directory(peer.name), self.programs, list(servers), **more)

    @contextlib.contextmanager
    def running(self, peer, setting, cpus=None, wrapper=()):
        """The peer, started and answering; `wrapper` is what runs it instead of the kernel (valgrind)."""
        command = [*wrapper, *peer.command(setting)]
        with Process(command, cpus or self.peer_cpus, setting.directory / "log") as process:
            self.wait(peer, process, PATIENCE_COUNTED if wrapper else PATIENCE)
            yield process

    def wait(self, peer, process, patience):
        if not peer.resolves:
            time.sleep(2 if patience > PATIENCE else 0.5)
        elif load.first_answer("h1.example", patience, process.has_ended) is None:
            raise NotMeasured(f"{peer.name} gave no answer within {patience} s: {process.tail()}")
