"""The command: arguments, programs, namespaces; then rounds in which the peers take turns; then the report."""
import argparse
import pathlib
import sys
import tempfile

from . import columns, namespace, peers, programs, report
from .bench import Bench, NotMeasured

ROOT = pathlib.Path(__file__).resolve().parents[3]
#: As often the peers take turns; with less, a figure is not for quoting.
ROUNDS = 5


def arguments():
    known_columns = [column.key for column in columns.ALL]
    words = lambda known: lambda text: known_words(text, known)
    parser = argparse.ArgumentParser(prog="tests/bench/run", description="Caching DNS forwarders side by side.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often the peers take turns ({ROUNDS})")
    parser.add_argument("--seconds", type=int, default=6, help="how long each load lasts (6)")
    parser.add_argument("--columns", type=words(known_columns), default=known_columns, help=", ".join(known_columns))
    parser.add_argument("--peers", type=words(list(peers.ALL)), default=list(peers.ALL), help=", ".join(peers.ALL))
    parser.add_argument("--onward", type=pathlib.Path, help="measure this binary instead of building one")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "target/bench", help="where results go (target/bench)")
    parser.add_argument("--publish", action="store_true", help="put the table and the chart into README.md; takes a whole run")
    options = parser.parse_args()
    whole = options.rounds >= ROUNDS and options.columns == known_columns and options.peers == list(peers.ALL)
    if options.publish and not whole:
        parser.error(f"only a whole run is published: all columns, all peers, at least {ROUNDS} rounds")
    return options


def known_words(text, known):
    given = text.split(",")
    unknown = [word for word in given if word not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: not one of {', '.join(known)}")
    return given


def main():
    options = arguments()
    if not namespace.inside():
        programs.provide(ROOT, options)
        namespace.enter()  # runs this program again, inside
    namespace.set_up()
    with tempfile.TemporaryDirectory(prefix="onward-bench-") as directory:
        bench = Bench(pathlib.Path(directory), options.seconds, programs.paths(ROOT, options))
        rows = measure(bench, options)
    report.write(rows, options, bench)


def measure(bench, options):
    """One row for each figure that was taken."""
    rows = []
    for number in range(1, options.rounds + 1):
        for name in options.peers:
            for column in (column for column in columns.ALL if column.key in options.columns):
                if not column.is_for(name) or number > 1 and column.once:
                    continue
                try:
                    figures = column.measure(bench, peers.ALL[name])
                except NotMeasured as why:
                    figures = {}
                    print(f"round {number}: {name}, {column.key}: not measured: {why}", file=sys.stderr)
                rows.append({"round": number, "peer": name, "column": column.key, "figures": figures})
                told = ", ".join(f"{key} {value:.6g}" for key, value in figures.items())
                print(f"round {number}: {name}, {column.key}: {told}", flush=True)
    return rows
