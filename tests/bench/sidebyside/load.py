"""Questions: files of them for dnsperf, dnsperf itself, and one question at a time."""
import os
import random
import re
import select
import socket
import struct
import subprocess
import time
from dataclasses import dataclass

from .namespace import SERVER


@dataclass
class Load:
    """What dnsperf saw."""
    completed: int
    lost: int


def dnsperf(names, cpus, *arguments, limit=300):
    """Runs dnsperf over the file `names` on the processors `cpus`."""
    command = ["dnsperf", "-s", SERVER, "-d", str(names), "-f", "inet", *(str(word) for word in arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=limit, preexec_fn=lambda: os.sched_setaffinity(0, cpus))

    def count(what):
        found = re.search(rf"Queries {what}:\s+(\d+)", ended.stdout)
        if not found:
            raise RuntimeError(f"dnsperf: {ended.stdout[-500:]}{ended.stderr[-500:]}")
        return int(found[1])

    return Load(count("completed"), count("lost"))


def known_names(path, count, of):
    """`count` questions, at random, for the first `of` names that the upstream has."""
    path.write_text("".join(f"h{random.randrange(of)}.example A\n" for _ in range(count)))
    return path


def each_name(path, of):
    """Each of the first `of` names once, in no order."""
    numbers = list(range(of))
    random.shuffle(numbers)
    path.write_text("".join(f"h{number}.example A\n" for number in numbers))
    return path


def new_names(path, count):
    """Questions that were never asked before."""
    path.write_text("".join(f"u{random.getrandbits(60)}.example A\n" for _ in range(count)))
    return path


def question(name):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">6H", random.getrandbits(16), 0x0100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"


class Burst:
    """Questions for cached names that are asked all at once, from so many sockets that workers get equal shares of them."""
    CLIENTS, EACH = 500, 12
    #: So long all answers take at the most, in seconds.
    PATIENCE = 0.2
    #: The kernel notes when a datagram came (man 7 socket); Python has no name for it.
    SO_TIMESTAMPNS = 35

    def __init__(self, names):
        self.size = self.CLIENTS * self.EACH
        self._questions = [question(f"h{random.randrange(names)}.example") for _ in range(self.size)]
        self._clients = [self._client() for _ in range(self.CLIENTS)]

    def _client(self):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        client.setsockopt(socket.SOL_SOCKET, self.SO_TIMESTAMPNS, 1)
        client.connect((SERVER, 53))
        client.setblocking(False)
        return client

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self._clients:
            client.close()

    def ask(self):
        for number, one in enumerate(self._questions):
            self._clients[number % self.CLIENTS].send(one)

    def answers(self):
        """How many came, and how many seconds were between the first and the last."""
        time.sleep(self.PATIENCE)
        came = [moment for client in self._clients for moment in self._moments(client)]
        return len(came), max(came, default=0) - min(came, default=0)

    @staticmethod
    def _moments(client):
        while True:
            try:
                _, [(_, _, data)], _, _ = client.recvmsg(512, 64)
            except BlockingIOError:
                return
            seconds, nanoseconds = struct.unpack("qq", data[:16])
            yield seconds + nanoseconds / 1e9


def first_answer(name, patience, has_ended):
    """Asks until there is an answer with a record, every millisecond; the seconds that took, or None."""
    began = time.monotonic()
    while time.monotonic() - began < patience and not has_ended():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect((SERVER, 53))
            try:
                client.send(question(name))
                if select.select([client], [], [], 0.5)[0]:
                    answer = client.recv(4096)
                    if answer[3] & 15 == 0 and answer[7] > 0:
                        return time.monotonic() - began
            except ConnectionRefusedError:
                pass  # nobody listens yet
        time.sleep(0.001)
    return None


def steady(rate, seconds, patience=6):
    """Asks `rate` new names a second, each through a socket of its own; the latencies in seconds, None for no answer."""
    waiting, latencies = {}, []
    poll, began, asked = select.poll(), time.monotonic(), 0
    while asked < rate * seconds or waiting:
        now = time.monotonic()
        if asked < rate * seconds and now >= began + asked / rate:
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            client.connect((SERVER, 53))
            client.send(question(f"f{random.getrandbits(50)}.example"))
            poll.register(client, select.POLLIN)
            waiting[client.fileno()] = (client, now)
            asked += 1
        for descriptor, _ in poll.poll(2):
            client, sent = waiting[descriptor]
            try:
                good = client.recv(4096)[3] & 15 == 0
            except OSError:
                good = False
            latencies.append(time.monotonic() - sent if good else None)
            forget(poll, waiting, descriptor)
        for descriptor in [number for number, (_, sent) in waiting.items() if now - sent > patience]:
            latencies.append(None)
            forget(poll, waiting, descriptor)
    return latencies


def forget(poll, waiting, descriptor):
    poll.unregister(descriptor)
    waiting.pop(descriptor)[0].close()
