"""What came out: medians, ratios, a table in Markdown, the figures as JSON, a chart."""
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess

from . import chart, columns

HERE = pathlib.Path(__file__).resolve().parent
README, CHART = HERE.parents[2] / "README.md", HERE.parent / "chart.svg"
#: What is published stands between these lines of README.md.
MARKS = "<!-- written by tests/bench/run --publish -->", "<!-- as far as here -->"
VERSIONS = {
    "onward": ["--version"], "dnsdist": ["--version"], "unbound": ["-V"], "dnsmasq": ["--version"], "smartdns": ["-v"], "coredns": ["-version"],
}


def write(rows, options, bench):
    """Writes the three files, and tells the table."""
    options.output.mkdir(parents=True, exist_ok=True)
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "versions": {name: version(name, bench.programs) for name in options.peers if name in VERSIONS},
        "medians": medians(rows, options.peers),
        "rows": rows,
    }
    (options.output / "figures.json").write_text(json.dumps(result, indent=1) + "\n")
    text = table(result)
    (options.output / "table.md").write_text(text)
    (options.output / "chart.svg").write_text(chart.draw(result))
    print(f"\n{text}\nIn {options.output}: table.md, figures.json, chart.svg")
    if options.publish:
        publish(text, chart.draw(result))


def publish(text, picture):
    """Puts the table into README.md, between the two marks, and the chart beside this program."""
    CHART.write_text(picture)
    readme = README.read_text()
    start, end = (readme.index(mark) for mark in MARKS)
    shown = f"![Onward and others as bars](tests/bench/{CHART.name})\n\n{text}"
    README.write_text(f"{readme[:start + len(MARKS[0])]}\n{shown}{readme[end:]}")
    print(f"Published in {README.name}, with {CHART.name}")


def medians(rows, peers):
    """For each peer and figure the median, and the least and the most that were seen."""
    found = {peer: {} for peer in peers}
    for figure in columns.FIGURES:
        for peer in peers:
            seen = [row["figures"][figure.key] for row in rows if row["peer"] == peer and figure.key in row["figures"]]
            if seen:
                found[peer][figure.key] = {"median": statistics.median(seen), "least": min(seen), "most": max(seen)}
    return found


def table(result):
    """Figures by row and peers by column, the best in bold, Onward against the best of the others; then what Onward shows alone."""
    medians = result["medians"]
    peers = [peer for peer in medians if peer != "echo"]
    taken = [figure for figure in columns.FIGURES if values(medians, figure)]
    lines = [f"| | {' | '.join(peers)} | Onward against the best other |", "| --- |" + " ---: |" * (len(peers) + 1)]
    for figure in (figure for figure in taken if not figure.alone):
        cells = [cell(medians, peer, figure) for peer in peers]
        lines.append(f"| {title(figure)} | {' | '.join(cells)} | {against_best(medians, figure)} |")
    alone = [f"| {title(figure)} | {cell(medians, 'onward', figure)} |" for figure in taken if figure.alone]
    if alone:
        lines += ["", "| Onward alone | |", "| --- | ---: |", *alone]
    return "\n".join(lines + ["", *notes(result), ""])


def notes(result):
    """What the reader must know to read the table."""
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    yield f"{result['date']}, {result['machine']}. {versions}."
    yield ("Less is better, the best is bold. CPU is user and system time of the program. CPU and start are medians of "
           f"{result['rounds']} turns; the rest was taken once.")
    echo = value(result["medians"], "echo", "hit")
    if echo:
        quiet = value(result["medians"], "echo", "quiet_hit")
        slow = f"; {quiet:.2f} µs at 1,000 a second" if quiet else ""
        yield f"In brackets: against `echo`, which sends back what comes and does no DNS work ({echo:.2f} µs{slow})."


def title(figure):
    return f"{figure.title}, {figure.unit}" if figure.unit else figure.title


def value(medians, peer, key):
    return medians.get(peer, {}).get(key, {}).get("median")


def values(medians, figure):
    """What each peer has for a figure, `echo` left out."""
    found = {peer: value(medians, peer, figure.key) for peer in medians if peer != "echo"}
    return {peer: number for peer, number in found.items() if number is not None}


def cell(medians, peer, figure):
    taken, echo = values(medians, figure), value(medians, "echo", figure.echo)
    if peer not in taken:
        return ""
    text = f"{taken[peer]:,.{figure.digits}f}"
    if not figure.alone and taken[peer] == min(taken.values()):
        text = f"**{text}**"
    return f"{text} ({taken[peer] / echo:.2f})" if figure.is_cpu and echo else text


def against_best(medians, figure):
    others = values(medians, figure)
    own = others.pop("onward", None)
    if own is None or not others:
        return ""
    best = min(others, key=others.get)
    return f"{own / others[best]:.2f} × {best}" if others[best] else f"{best} has 0"


def machine():
    with open("/proc/cpuinfo") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    name = model[1].strip() if model else platform.machine()
    kernel = platform.release().split("-")[0]
    return f"{name}, {len(os.sched_getaffinity(0))} processors, Linux {kernel}"


def version(name, programs):
    ended = subprocess.run([str(programs.get(name, name)), *VERSIONS[name]], capture_output=True, text=True)
    found = re.search(r"\d+(\.\d+)+|\b\d{2,}\b", ended.stdout + ended.stderr)
    return found[0] if found else "of unknown version"
