"""The chart: some figures as bars, one panel each, shortest is best. Plain SVG that needs nothing else."""
from html import escape

#: Figure, title of its panel, and how a value is written.
PANELS = [
    ("hit", "CPU of a cached answer, × echo", "{:.2f}"),
    ("miss", "CPU of a miss, × echo", "{:.2f}"),
    ("instructions", "Instructions of a cached answer", "{:,.0f}"),
    ("full", "MiB with 100,000 names", "{:.1f}"),
]
WIDTH, LEFT, RIGHT, ROW, BAR, TITLE = 760, 90, 70, 24, 15, 34
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600 }
  .bar { fill: #9aa7b4 } .onward { fill: #0969da }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .bar { fill: #6e7681 } .onward { fill: #4493f8 } }
"""


def draw(result):
    body, top = [], 8
    for key, title, form in PANELS:
        values = {peer: scaled(result["medians"], peer, key) for peer in result["medians"] if peer != "echo"}
        values = {peer: value for peer, value in values.items() if value is not None}
        if values:
            body.append(panel(title, form, values, top))
            top += TITLE + ROW * len(values) + 12
    source = f'{result["date"]}, {result["machine"]}'
    body.append(text(LEFT, top + 12, source))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + 24}" role="img">\n'
            f"<title>Caching DNS forwarders side by side</title>\n<style>{STYLE}</style>\n" + "\n".join(body) + "\n</svg>\n")


def scaled(medians, peer, key):
    """The median; CPU as a multiple of what `echo` takes."""
    value = medians[peer].get(key, {}).get("median")
    if key not in ("hit", "miss") or value is None:
        return value
    echo = medians.get("echo", {}).get("hit", {}).get("median")
    return value / echo if echo else None


def panel(title, form, values, top):
    most = max(values.values()) or 1
    lines = [text(LEFT, top + 20, title, "title")]
    for row, (peer, value) in enumerate(sorted(values.items(), key=lambda item: item[1])):
        y = top + TITLE + row * ROW
        width = max(1, (WIDTH - LEFT - RIGHT) * value / most)
        kind = "bar onward" if peer == "onward" else "bar"
        lines.append(text(LEFT - 8, y + 12, peer, anchor="end"))
        lines.append(f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR}" rx="2"/>')
        lines.append(text(LEFT + width + 6, y + 12, form.format(value)))
    return "\n".join(lines)


def text(x, y, words, kind="", anchor="start"):
    return f'<text class="{kind}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'
