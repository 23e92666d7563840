"""A program that was started: pinned to processors, measured through /proc, stopped."""
import os
import signal
import subprocess

TICKS = os.sysconf("SC_CLK_TCK")
#: Nothing else of our environment reaches a peer: variables may configure it.
ENVIRONMENT = {"PATH": os.environ["PATH"]}


class Process:
    """`argv` on the processors `cpus`, its output in the file `log`. Ends with the `with` block."""

    def __init__(self, argv, cpus, log):
        self.log = log
        with open(log, "w") as output:
            self.popen = subprocess.Popen(
                [str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                start_new_session=True, env=ENVIRONMENT, preexec_fn=lambda: os.sched_setaffinity(0, cpus))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            self.popen.wait(20)  # callgrind writes its figures at the end
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.popen.wait()

    def signal(self, number):
        try:
            os.killpg(self.popen.pid, number)
        except ProcessLookupError:
            pass

    def has_ended(self):
        return self.popen.poll() is not None

    def tail(self):
        """The end of what it said, for people."""
        with open(self.log, errors="replace") as log:
            return " | ".join(log.read().splitlines()[-3:])

    def pin(self, cpus):
        """Puts all its threads on these processors, whatever they chose for themselves: Knot binds its threads from the first on."""
        for thread in os.listdir(f"/proc/{self.popen.pid}/task"):
            os.sched_setaffinity(int(thread), cpus)

    def family(self):
        """It and its descendants: dnsmasq forks for TCP."""
        found, rest = [], [self.popen.pid]
        while rest:
            pid = rest.pop()
            found.append(pid)
            try:
                for thread in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{thread}/children") as children:
                        rest += [int(child) for child in children.read().split()]
            except OSError:
                pass  # ended meanwhile
        return found

    def cpu_seconds(self):
        """User and system time so far, with that of children that ended and were waited for."""
        total = 0
        for pid in self.family():
            try:
                with open(f"/proc/{pid}/stat") as stat:
                    fields = stat.read().rsplit(")", 1)[1].split()
                total += sum(int(field) for field in fields[11:15])
            except OSError:
                pass
        return total / TICKS

    def ran_seconds(self):
        """As `cpu_seconds`, from the scheduler, which counts nanoseconds; without what has ended."""
        total = 0
        for pid in self.family():
            try:
                for thread in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{thread}/schedstat") as times:
                        total += int(times.read().split()[0])
            except OSError:
                pass
        return total / 1e9

    def rss_mib(self):
        total = 0
        for pid in self.family():
            try:
                with open(f"/proc/{pid}/status") as status:
                    total += sum(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
            except OSError:
                pass
        return total / 1024
