"""The picture: each panel of a dashboard of Grafana's from the answers to its queries, as SVG that needs nothing else."""
import math
import re
from html import escape

#: The width of one of the 24 columns, the height of a row, the gap between panels, and the room for a title and an axis.
COLUMN, ROW, GAP, TITLE, AXIS, LEGEND = 46, 30, 8, 26, 54, 16
#: Points of a line.
POINTS = 240
COLOURS = ["#3274d9", "#e0752d", "#56a64b", "#b877d9", "#e02f44", "#d9a514", "#0aa5a8", "#8a6d5b"]
STATES = {"up": "#56a64b", "slow": "#d9a514", "suspect": "#b877d9", "down": "#e0752d", "looping": "#e02f44"}
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600 } .small { font-size: 10px }
  .row { font-size: 15px; font-weight: 600 } .big { font-size: 40px; font-weight: 600; text-anchor: middle } .end { text-anchor: end }
  .panel { fill: none; stroke: #d0d7de } .grid { stroke: #d0d7de; stroke-width: 0.5 } .line { fill: none; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .panel, .grid { stroke: #30363d } }
"""


def picture(dashboard, ask, node, began, ended):
    """`ask(expression, step)` gives the series; the panels of a node show `node`."""
    scene = Panels(ask, node, began, ended)
    body = [scene.draw(panel) for panel in dashboard["panels"]]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"]) * ROW
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {24 * COLUMN} {height}" role="img">\n'
            f"<title>{escape(dashboard['title'])}</title>\n<style>{STYLE}</style>\n" + "\n".join(body) + "\n</svg>\n")


class Panels:
    def __init__(self, ask, node, began, ended):
        self.ask, self.node, self.began, self.ended = ask, node, began, ended

    def draw(self, panel):
        place = panel["gridPos"]
        x, y, width, height = place["x"] * COLUMN, place["y"] * ROW, place["w"] * COLUMN - GAP, place["h"] * ROW - GAP
        title = panel["title"].replace("$instance", self.node)
        if panel["type"] == "row":
            return text(x, y + 20, title, "row")
        unit = panel["fieldConfig"]["defaults"].get("unit", "short")
        inside = (x + 12, y + TITLE + 8, width - 24, height - TITLE - 16)
        parts = [f'<rect class="panel" x="{x}" y="{y}" width="{width}" height="{height}" rx="4"/>', text(x + 12, y + 20, title, "title" if len(title) * 7.2 < width else "title small")]
        drawn = {"stat": self.stat, "table": self.table, "timeseries": self.lines, "state-timeline": self.states}[panel["type"]]
        return "\n".join(parts + drawn(panel["targets"], unit, *inside))

    def series(self, targets, step):
        for target in targets:
            for labels, points in self.ask(target["expr"].replace("$instance", self.node), step):
                points = [(at, value) for at, value in points if math.isfinite(value)]
                if points:
                    yield re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), target["legendFormat"]), labels, points

    def stat(self, targets, unit, x, y, width, height):
        value = next((points[-1][1] for _, _, points in self.series(targets, None)), 0)
        return [f'<text class="big" x="{x + width / 2:.0f}" y="{y + height / 2 + 10:.0f}">{shown(value, unit)}</text>']

    def table(self, targets, unit, x, y, width, _):
        rows = sorted(((points[-1][1], name) for name, _, points in self.series(targets, None)), reverse=True)
        return [part for place, (value, name) in enumerate(rows) for part in (
            text(x, y + 18 + place * 22, name, ""), text(x + width, y + 18 + place * 22, shown(value, unit), "end"))]

    def lines(self, targets, unit, x, y, width, height):
        found = list(self.series(targets, max(1, (self.ended - self.began) / POINTS)))
        most = ceiling(max((value for _, _, points in found for _, value in points), default=1), unit)
        left, bottom = x + AXIS, y + height - LEGEND - 16
        across = lambda at: left + (at - self.began) / (self.ended - self.began) * (width - AXIS)
        up = lambda value: bottom - value / most * (bottom - y)
        parts = self.axis(left, bottom, x + width, y)
        for part in range(5):
            value = most * part / 4
            parts.append(f'<line class="grid" x1="{left}" x2="{x + width}" y1="{up(value):.1f}" y2="{up(value):.1f}"/>')
            parts.append(text(left - 6, up(value) + 4, shown(value, unit), "small end"))
        for place, (_, _, points) in enumerate(found):
            path = " ".join(f"{across(at):.1f},{up(value):.1f}" for at, value in points)
            parts.append(f'<polyline class="line" stroke="{COLOURS[place % len(COLOURS)]}" points="{path}"/>')
        return parts + self.legend(found, left, y + height, x + width)

    @staticmethod
    def legend(found, x, y, right):
        """The names of the lines; of those that lie on zero, as far as there is room."""
        parts = []
        is_zero = lambda item: not any(value for _, value in item[1][2])
        for place, (name, _, _) in sorted(enumerate(found), key=is_zero):
            wide = 24 + 6.4 * len(name)
            if x + wide > right:
                continue
            parts.append(f'<rect x="{x:.0f}" y="{y - 10}" width="10" height="3" fill="{COLOURS[place % len(COLOURS)]}"/>')
            parts.append(text(x + 14, y - 5, name, "small"))
            x += wide
        return parts

    def states(self, targets, unit, x, y, width, height):
        step = (self.ended - self.began) / POINTS
        found = list(self.series(targets, step))
        upstreams = sorted({labels["upstream"] for _, labels, _ in found})
        left, bottom = x + 100, y + height - LEGEND - 16
        across = lambda at: left + (at - self.began) / (self.ended - self.began) * (width - 100)
        parts = self.axis(left, bottom, x + width, y)
        tall = min(34, (bottom - y) / max(1, len(upstreams)))
        for place, upstream in enumerate(upstreams):
            top = y + place * tall
            parts.append(text(x, top + tall / 2 + 4, upstream, "small"))
            for state, begin, end in runs(found, upstream, step):
                box = f'x="{across(begin):.1f}" y="{top:.1f}" width="{max(0.5, across(min(end, self.ended)) - across(begin)):.1f}"'
                parts.append(f'<rect {box} height="{tall - 6:.1f}" fill="{STATES.get(state, "#888")}"/>')
        for place, (state, colour) in enumerate(STATES.items()):
            parts.append(f'<rect x="{left + place * 70}" y="{y + height - 13}" width="8" height="8" fill="{colour}"/>')
            parts.append(text(left + place * 70 + 12, y + height - 5, state, "small"))
        return parts

    def axis(self, left, bottom, right, _):
        minutes = (self.ended - self.began) / 60
        every = 1 if minutes <= 6 else 2
        place = lambda minute: left + minute / minutes * (right - left)
        return [text(place(minute), bottom + 13, f"{minute} min", "small") for minute in range(0, int(minutes), every)]


def runs(found, upstream, step):
    """The times for which an upstream was in a state."""
    for _, labels, points in found:
        if labels["upstream"] != upstream:
            continue
        begin = last = None
        for at, _ in points:
            if last is not None and at - last > step * 1.5:
                yield labels["state"], begin, last + step
                begin = None
            begin = at if begin is None else begin
            last = at
        if begin is not None:
            yield labels["state"], begin, last + step


def ceiling(value, unit):
    """The next of 1, 2, 4, 5 times a power of ten; of two for bytes."""
    if value <= 0:
        return 1
    if unit == "bytes":
        return 2 ** math.ceil(math.log2(value))
    power = 10 ** math.floor(math.log10(value))
    return next(power * part for part in (1, 2, 4, 5, 10) if value <= power * part * 1.0001)


def shown(value, unit):
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "s":
        return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"
    if unit == "bytes":
        return f"{value / (1 << 20):.3g} MiB" if value >= 1 << 19 else f"{value / 1024:.3g} KiB"
    return f"{value:.3g}" + ("/s" if unit == "ops" else "")


def text(x, y, words, kind):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
