"""An upstream for the columns that count questions: answers every question for an address, late if it is told to.

    scripted_upstream.py ADDRESS COUNTS [DELAY JITTER TAIL SHARE]     milliseconds; SHARE of the answers take TAIL more

Keeps in the file COUNTS how often each name was asked; only names of the load (`f…`) count. Stop it with SIGTERM.
"""
import heapq
import json
import random
import signal
import socket
import sys
import time
from collections import Counter


def answer(query):
    """One address for an hour, with an OPT where the query has one."""
    end = 12
    while query[end]:
        end += 1 + query[end]
    end += 5
    opt = b"\0\0\x29\x04\xd0\0\0\0\0\0\0" if query[11] else b""
    head = query[:2] + bytes([0x84 | query[2] & 1, 0x80, 0, 1, 0, 1, 0, 0, 0, len(opt) and 1])
    return head + query[12:end] + b"\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4\xc0\0\2\1" + opt


def name(query):
    return query[13:13 + query[12]].decode("ascii", "replace").lower()


def serve(address, counts, delay=0.0, jitter=0.0, tail=0.0, share=0.0):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    asked, late = Counter(), []
    running = True

    def stop(*_):
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    while running:
        server.settimeout(min(0.1, max(0.0005, late[0][0] - time.monotonic())) if late else 0.1)
        try:
            query, client = server.recvfrom(4096)
            if len(query) > 17 and not query[2] & 0x80:
                asked[name(query)] += 1
                wait = delay + random.uniform(-jitter, jitter) + (tail if random.random() < share else 0)
                heapq.heappush(late, (time.monotonic() + wait / 1000, client, answer(query)))
        except OSError:
            pass  # nothing came
        while late and late[0][0] <= time.monotonic():
            _, client, message = heapq.heappop(late)
            server.sendto(message, client)
    with open(counts, "w") as file:
        json.dump({label: count for label, count in asked.items() if label.startswith("f")}, file)


serve(sys.argv[1], sys.argv[2], *(float(word) for word in sys.argv[3:]))
