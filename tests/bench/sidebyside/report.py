"""What came out: medians, ratios, a table in Markdown, the figures as JSON, a chart."""
import datetime
import json
import os
import platform
import re
import statistics
import subprocess

from . import chart, columns

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


def medians(rows, peers):
    """For each peer and figure the median, and the least and the most that were seen."""
    found = {peer: {} for peer in peers}
    for figure in columns.FIGURES:
        for peer in peers:
            values = [row["figures"][figure.key] for row in rows if row["peer"] == peer and figure.key in row["figures"]]
            if values:
                found[peer][figure.key] = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return found


def table(result):
    """Figures by row and peers by column; the best peer that is not Onward is what Onward is held against."""
    peers = list(result["medians"])
    taken = [figure for figure in columns.FIGURES if any(figure.key in result["medians"][peer] for peer in peers)]
    lines = [f"| | {' | '.join(peers)} | Onward against the best peer |", "| --- |" + " ---: |" * (len(peers) + 1)]
    for figure in taken:
        cells = [cell(result["medians"], peer, figure) for peer in peers]
        title = f"{figure.title}, {figure.unit}" if figure.unit else figure.title
        lines.append(f"| {title} | {' | '.join(cells)} | {against_best(result['medians'], figure)} |")
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return "\n".join(lines) + f"""

Measured on {result["date"]}: {result["machine"]}; {result["rounds"]} rounds in which the peers took turns, medians. Costs are
CPU time of the peer, user and system, in microseconds an answer; in brackets against `echo`, which sends back what comes
and does no DNS work. {versions}.
"""


def value(medians, peer, key):
    return medians.get(peer, {}).get(key, {}).get("median")


def cell(medians, peer, figure):
    own, echo = value(medians, peer, figure.key), value(medians, "echo", "hit")
    if own is None:
        return ""
    text = f"{own:,.{figure.digits}f}"
    return f"{text} ({own / echo:.2f})" if figure.is_cpu and echo else text


def against_best(medians, figure):
    own = value(medians, "onward", figure.key)
    others = {peer: value(medians, peer, figure.key) for peer in medians if peer not in ("onward", "echo")}
    others = {peer: other for peer, other in others.items() if other is not None}
    if own is None or not others:
        return ""
    best = min(others, key=others.get)
    return f"{own / others[best]:.2f} × {best}" if others[best] else f"{best} has 0"


def machine():
    with open("/proc/cpuinfo") as file:
        model = re.search(r"model name\s*: (.*)", file.read())
    name = model[1].strip() if model else platform.machine()
    return f"{name}, {len(os.sched_getaffinity(0))} processors, Linux {platform.release()}"


def version(name, programs):
    ended = subprocess.run([str(programs.get(name, name)), *VERSIONS[name]], capture_output=True, text=True)
    found = re.search(r"\d+(\.\d+)+|\b\d{2,}\b", ended.stdout + ended.stderr)
    return found[0] if found else "of unknown version"
