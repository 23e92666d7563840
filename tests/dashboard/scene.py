"""Three nodes with Onward, their clients and servers, and what goes wrong: made in the network namespace of this process."""
import json
import pathlib
import random
import signal
import subprocess
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
#: Address, servers, queries a second of each node.
NODES = {
    "node-a": ("10.53.1.1", ("10.53.0.1", "10.53.0.2"), 240),
    "node-b": ("10.53.1.2", ("10.53.0.1", "10.53.0.2"), 90),
    "node-c": ("10.53.1.3", ("10.53.0.3", "10.53.0.4"), 150),
}
#: The node that has the troubles, and its first server, which makes them.
WORST, CULPRIT = "node-c", "10.53.0.3"
#: What queries look back, in seconds: the picture begins when there is so much to see.
LOOK_BACK = 300
#: When the culprit is silent, and from when on it is a loop, as parts of the whole.
SILENT, LOOPING = (0.45, 0.6), 0.8
#: Names that are asked for again and again; one query in TWELVE is for a new one.
HOT, TWELVE = 400, 12
PROMETHEUS = ROOT / "target/peers/prometheus/usr/bin/prometheus"


class Scene:
    def __init__(self, onward, directory, seconds):
        self.onward, self.directory, self.seconds = onward, directory, seconds
        self.processes, self.worst = [], WORST
        self.began = self.ended = 0.0

    def __enter__(self):
        servers = sorted({server for _, servers, _ in NODES.values() for server in servers})
        for address in [*servers, *(address for address, _, _ in NODES.values())]:
            subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
        self.servers = {address: self.server(address) for address in servers}
        for name, node in NODES.items():
            self.node(name, *node)
        self.start_prometheus()
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()

    def run(self, *words, **more):
        log = (self.directory / f"log-{len(self.processes)}").open("w")
        process = subprocess.Popen([str(word) for word in words], stdout=log, stderr=log, **more)
        self.processes.append(process)
        return process

    def server(self, address):
        """A server as near as a cloud's is: it knows every name, and takes its time."""
        return self.run("python3", ROOT / "tests/dashboard/server.py", address)

    def loop(self, address):
        """What is at that address sends everything back to the node."""
        return self.run("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file=", "--no-resolv", "--no-hosts",
                        "--cache-size=0", "--bind-interfaces", f"--listen-address={address}", f"--server={NODES[WORST][0]}")

    def node(self, name, address, servers, _):
        folder = self.directory / name
        folder.mkdir()
        (folder / "onward.toml").write_text(
            f'listen = ["{address}"]\nstate_dir = "{folder}"\nresolv_conf.path = "{folder}/resolv.conf"\n'
            f'control.socket = "{folder}/control.sock"\nupstreams.servers = {json.dumps(servers)}\n'
            f'[metrics]\nlisten = "{address}:9253"\n')
        self.run(self.onward, "run", "--config", folder / "onward.toml")

    def start_prometheus(self):
        targets = [{"targets": [f"{address}:9253"], "labels": {"instance": name}} for name, (address, _, _) in NODES.items()]
        configuration = {"global": {"scrape_interval": "2s"}, "scrape_configs": [{"job_name": "onward", "static_configs": targets}]}
        (self.directory / "prometheus.yml").write_text(json.dumps(configuration)) # JSON is YAML
        self.run(PROMETHEUS, f"--config.file={self.directory}/prometheus.yml", f"--storage.tsdb.path={self.directory}/data",
                 "--web.listen-address=127.0.0.1:9090")

    def play(self):
        begun = time.time()
        for name, (address, _, rate) in NODES.items():
            names = self.directory / f"names-{name}"
            hot = lambda: f"h{min(int(random.expovariate(3 / HOT)), HOT)}"
            one = lambda number: f"new{number}-{name}" if number % TWELVE == 0 else hot()
            names.write_text("".join(f"{one(number)}.example A\n" for number in range(int(rate * (self.seconds + LOOK_BACK)))))
            self.run("dnsperf", "-s", address, "-d", names, "-Q", rate, "-l", int(self.seconds + LOOK_BACK), "-t", 5)
        self.began = begun + LOOK_BACK
        for part, happens in [(SILENT[0], self.freeze), (SILENT[1], self.thaw), (LOOPING, self.begin_loop), (1, lambda: None)]:
            time.sleep(max(0.0, self.began + part * self.seconds - time.time()))
            happens()
        self.ended = time.time()

    def freeze(self):
        self.servers[CULPRIT].send_signal(signal.SIGSTOP)

    def thaw(self):
        self.servers[CULPRIT].send_signal(signal.SIGCONT)

    def begin_loop(self):
        self.servers[CULPRIT].kill()
        self.servers[CULPRIT].wait()
        self.loop(CULPRIT)

    def prometheus(self, expression, step=None):
        """The series of an expression: at the end, or with `step` over the whole time, as (labels, [(time, value)])."""
        if step is None:
            path, words = "query", {"query": expression, "time": self.ended}
        else:
            path, words = "query_range", {"query": expression, "start": self.began, "end": self.ended, "step": step}
        url = f"http://127.0.0.1:9090/api/v1/{path}?{urllib.parse.urlencode(words)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            found = json.load(answer)["data"]["result"]
        points = lambda series: series["values"] if step else [series["value"]]
        return [(series["metric"], [(float(at), float(value)) for at, value in points(series)]) for series in found]
