"""The chart: some figures as bars, a panel each, two beside one another; shortest is best. Plain SVG that needs nothing else."""
from html import escape

#: Figure, title of its panel, and how a value is written.
PANELS = [
    ("hit", "CPU of a cached answer, × echo", "{:.2f}"),
    ("miss", "CPU of a miss, × echo", "{:.2f}"),
    ("tcp", "CPU of a cached answer, TCP, × echo", "{:.2f}"),
    ("instructions", "Instructions of a cached answer", "{:,.0f}"),
    ("full", "MiB with 100,000 names", "{:.1f}"),
    ("felt", "Answers over 100 ms in a freeze", "{:.0f}"),
]
#: A panel's width, the room for names before its bars and for values behind them; heights of a row, a bar, a title.
PANEL, NAMES, VALUES, ROW, BAR, TITLE, GAP = 400, 76, 62, 22, 14, 30, 16
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600 } .note { font-size: 11px }
  .bar { fill: #9aa7b4 } .onward { fill: #0969da }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .bar { fill: #6e7681 } .onward { fill: #4493f8 } }
"""


def draw(result):
    body, top, height = [], 4, 0
    for place, (title, form, values) in enumerate(filled(result["medians"])):
        left = place % 2 * (PANEL + GAP)
        if left == 0:
            top, height = top + height, 0
        body.append(panel(title, form, values, left, top))
        height = max(height, TITLE + ROW * len(values) + GAP)
    top += height
    body.append(text(0, top + 12, f'{result["date"]}, {result["machine"]}. Shorter is better; echo does no DNS work.', "note"))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * PANEL + GAP} {top + 20}" role="img">\n'
            f"<title>Caching DNS forwarders side by side</title>\n<style>{STYLE}</style>\n" + "\n".join(body) + "\n</svg>\n")


def filled(medians):
    """The panels for which there are values, with these."""
    for key, title, form in PANELS:
        values = {peer: scaled(medians, peer, key) for peer in medians if peer != "echo"}
        values = {peer: value for peer, value in values.items() if value is not None}
        if values:
            yield title, form, values


def scaled(medians, peer, key):
    """The median; CPU as a multiple of what `echo` takes."""
    value = medians[peer].get(key, {}).get("median")
    if key not in ("hit", "miss", "tcp") or value is None:
        return value
    echo = medians.get("echo", {}).get("hit", {}).get("median")
    return value / echo if echo else None


def panel(title, form, values, left, top):
    most, bars = max(values.values()) or 1, left + NAMES
    lines = [text(bars, top + 18, title, "title")]
    for row, (peer, value) in enumerate(sorted(values.items(), key=lambda item: item[1])):
        y = top + TITLE + row * ROW
        width = max(1, (PANEL - NAMES - VALUES) * value / most)
        kind = "bar onward" if peer == "onward" else "bar"
        lines.append(text(bars - 8, y + 11, peer, anchor="end"))
        lines.append(f'<rect class="{kind}" x="{bars}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>')
        lines.append(text(bars + width + 6, y + 11, form.format(value)))
    return "\n".join(lines)


def text(x, y, words, kind="", anchor="start"):
    return f'<text class="{kind}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'
