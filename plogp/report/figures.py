"""Small figures as inline SVG: distribution overlay, dot with interval, heat map, line chart.

Colours come from the page's style sheet by class, so a figure is dark or light with the page. Every text that is
drawn is escaped, and every figure says in its ``aria-label`` what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from markupsafe import Markup, escape

from plogp.report.words import number, percent, shown
from plogp.tables.results import MISSING, Histogram

__all__ = ["bars", "dot", "heat_map", "lines", "overlay"]

#: Categories drawn apart; the rest are pooled in one bar.
MAX_BARS = 24
#: Points of a curve up to which each is marked.
MOST_MARKS = 60


def _svg(width: float, height: float, label: str, body: str, css: str = "") -> Markup:
    return Markup(
        f'<svg class="fig {css}" role="img" viewBox="0 0 {_c(width)} {_c(height)}" '
        f'width="{_c(width)}" height="{_c(height)}" aria-label="{escape(label)}">{body}</svg>'
    )


def _c(x: float) -> str:
    """Return a coordinate with one decimal at most; figures are many, so each byte counts."""
    text = f"{x:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def overlay(
    reference: Histogram, current: Histogram | None, label: str, width: float = 168, height: float = 44
) -> Markup:
    """Draw the reference as a filled shape and, if there is one, the current distribution as a line over it.

    Bins of numbers are drawn as a density, so that areas are shares; categories as one bar each. Missing values are
    a bar of their own at the right.

    Examples
    --------
    >>> h = Histogram(["a", "b"], [3, 1])
    >>> str(overlay(h, None, "column x"))[:60]
    '<svg class="fig overlay" role="img" viewBox="0 0 168 44" wid'
    """
    pair = [reference] if current is None else [reference, current]
    labels = list(reference.labels)
    if any(h.labels != labels for h in pair):
        raise ValueError("the two histograms must have the same labels in the same order")
    shares = [list(h.shares) for h in pair]
    missing = [s.pop() for s in shares] if labels and labels[-1] == MISSING else None
    room = width - (14 if missing and any(missing) else 0)
    n_bins = len(reference.edges) - 1 if reference.edges is not None else 0
    if n_bins > 0:
        widths = _widths(reference.edges or [], shares[0])
        at = [room * x for x in accumulate(widths, initial=0.0)]
        tall = [[p / w for p, w in zip(s, widths)] for s in shares]
    else:
        shares = _pool(shares)
        n = max(len(shares[0]), 1)
        at = [room * i / n for i in range(n + 1)]
        tall = shares
    top = _top(tall)
    # Bars stand apart where they are categories, so that their order is not read as a scale.
    gap = 0.0 if n_bins > 0 else min(3.0, 0.2 * room / max(len(tall[0]), 1))
    body = f'<path class="ref" d="{_area(at, tall[0], top, height, gap)}"/>'
    if current is not None:
        body += f'<path class="cur" d="{_steps(at, tall[1], top, height)}"/>'
    if missing and any(missing):
        left, peak = room + 4, max(*missing, 0.25)
        body += f'<path class="ref miss" d="{_area([left, width], [missing[0]], peak, height)}"/>'
        if current is not None:
            body += f'<path class="cur" d="{_steps([left, width], [missing[1]], peak, height)}"/>'
    body += f'<path class="axis" d="M0 {_c(height - 0.5)}H{_c(width)}"/>'
    return _svg(width, height, label, body, "overlay")


def _widths(edges: Sequence[float], shares: Sequence[float]) -> list[float]:
    """Return the drawn width of each bin, as a part of the figure.

    Bins have their true widths, except that an open outer bin has its neighbour's, and that outwards from the median
    no bin is drawn more than 1.6 times as wide as the one before it: a long tail would leave the rest a line.
    """
    n = len(edges) - 1
    widths = [b - a for a, b in pairwise(edges)]
    inner = [w for w in widths if math.isfinite(w) and w > 0]
    if len(inner) < n - 2 or not inner or min(inner) < 1e-9 * max(inner):
        # Edges that differ only by rounding: equal widths show the shares.
        return [1 / n] * n
    # Relative to the widest, so that no sum leaves the range of a float.
    widths = [w / max(inner) for w in widths]
    for end, neighbour in ((0, 1), (n - 1, n - 2)):
        if not math.isfinite(widths[end]):
            near = widths[neighbour] if 0 <= neighbour < n else 1.0
            widths[end] = near if math.isfinite(near) else 1.0
    half, total = 0.5 * sum(shares), list(accumulate(shares))
    middle = next((i for i, t in enumerate(total) if t >= half), n // 2)
    for i in range(middle + 1, n):
        widths[i] = min(widths[i], 1.6 * widths[i - 1])
    for i in range(middle - 1, -1, -1):
        widths[i] = min(widths[i], 1.6 * widths[i + 1])
    return [w / sum(widths) for w in widths]


def _pool(shares: list[list[float]]) -> list[list[float]]:
    """Keep the largest categories in their order and add up the others in a last bar."""
    n = len(shares[0])
    if n <= MAX_BARS:
        return shares
    ranked = sorted(range(n), key=lambda i: -max(s[i] for s in shares))[: MAX_BARS - 1]
    kept = set(ranked)
    return [[s[i] for i in range(n) if i in kept] + [sum(s[i] for i in range(n) if i not in kept)] for s in shares]


def _top(tall: list[list[float]]) -> float:
    """Return the height of the axis: an isolated spike is cut off rather than flatten everything else."""
    heights = sorted(h for row in tall for h in row if h > 0)
    if not heights:
        return 1.0
    median = heights[len(heights) // 2]
    return min(heights[-1], 6 * median) * 1.05


def _y(h: float, top: float, height: float) -> str:
    return _c((height - 1) * (1 - min(h / top, 1.0)) + 0.5)


def _area(at: Sequence[float], tall: Sequence[float], top: float, height: float, gap: float = 0.0) -> str:
    foot = _c(height - 0.5)
    if gap:
        return "".join(
            f"M{_c(a)} {foot}V{_y(h, top, height)}H{_c(b - gap)}V{foot}Z" for a, b, h in zip(at, at[1:], tall)
        )
    path = f"M{_c(at[0])} {foot}"
    for x, h in zip(at[1:], tall):
        path += f"V{_y(h, top, height)}H{_c(x)}"
    return path + f"V{foot}Z"


def _steps(at: Sequence[float], tall: Sequence[float], top: float, height: float) -> str:
    path = f"M{_c(at[0])} {_c(height - 0.5)}"
    for x, h in zip(at[1:], tall):
        path += f"V{_y(h, top, height)}H{_c(x)}"
    return path + f"V{_c(height - 0.5)}"


def dot(value: float, low: float | None, high: float | None, bounds: tuple[float, float], label: str) -> Markup:
    """Draw a number as a dot with its interval on the axis `bounds`, with a tick at zero."""
    width, height = 112.0, 16.0
    start, end = bounds
    span = (end - start) or 1.0

    def x(v: float) -> float:
        return 4 + (width - 8) * min(max((v - start) / span, 0.0), 1.0)

    body = f'<path class="axis" d="M{_c(x(0))} 1V15"/>'
    if low is not None and high is not None:
        body += f'<path class="whisker" d="M{_c(x(low))} 8H{_c(x(high))}"/>'
    body += f'<circle class="dot" cx="{_c(x(value))}" cy="8" r="3.5"/>'
    return _svg(width, height, label, body, "dots")


def bars(values: Sequence[float], labels: Sequence[str], label: str) -> Markup:
    """Draw a few shares as horizontal bars with their labels (bins of a column beside the target)."""
    width, step = 284.0, 16.0
    top = max([*values, 1e-12])
    body = ""
    for i, (value, text) in enumerate(zip(values, labels)):
        y = i * step
        body += f'<rect class="bar" x="110" y="{_c(y + 2)}" width="{_c(110 * value / top)}" height="11"/>'
        body += f'<text x="104" y="{_c(y + 11)}" text-anchor="end">{escape(shown(text, 18))}</text>'
        body += f'<text x="{_c(114 + 110 * value / top)}" y="{_c(y + 11)}">{percent(value)}</text>'
    return _svg(width, step * len(values), label, body, "bars")


def heat_map(names: Sequence[str], cells: Mapping[tuple[str, str], float], label: str) -> Markup:
    """Draw a triangle of values in [0, 1] between named columns; a darker cell is a stronger dependence."""
    n, size, left, head = len(names), 18, 120, 8
    body = ""
    for i, name in enumerate(names):
        y = head + i * size
        body += f'<text x="{left - 6}" y="{y + 13}" text-anchor="end">{escape(shown(name, 16))}</text>'
        for j in range(i):
            value = cells.get((name, names[j]), cells.get((names[j], name)))
            if value is None:
                continue
            words = f"{shown(names[j], 30)} and {shown(name, 30)}: {number(value)}"
            opacity = f"{min(max(value, 0.0), 1.0):.2f}"
            body += (
                f'<rect class="heat" x="{left + j * size}" y="{y}" width="{size - 1}" height="{size - 1}" '
                f'fill-opacity="{opacity}"><title>{escape(words)}</title></rect>'
            )
    for j, name in enumerate(names[:-1]):
        x, y = left + j * size + 12, head + n * size + 6
        body += f'<text transform="translate({x} {y})rotate(-90)" text-anchor="end">{escape(shown(name, 16))}</text>'
    return _svg(left + n * size, head + n * size + 120, label, body, "heatmap")


def lines(series: Mapping[str, Any], label: str, width: float = 420, height: float = 200, log: bool = False) -> Markup:
    """Draw curves over a common x with labelled axes; points that are not finite are left out.

    A text x (categories) is placed at equal distances. With ``log=True`` both axes are logarithmic, and points that
    are not positive are left out.
    """
    xs, curves = list(series["x"]), series["curves"]
    numeric = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in xs)
    at = [float(x) for x in xs] if numeric else [float(i) for i in range(len(xs))]
    points = {
        name: [(x, float(y)) for x, y in zip(at, ys) if _finite(y) and math.isfinite(x)] for name, ys in curves.items()
    }
    if log:
        points = {
            name: [(math.log10(x), math.log10(y)) for x, y in ps if x > 0 and y > 0] for name, ps in points.items()
        }
        at = [math.log10(x) if x > 0 else math.nan for x in at]
    every = [p for ps in points.values() for p in ps]
    if not every:
        return Markup("")

    def said(v: float) -> str:
        return number(10**v if log else v)

    x0, x1 = min(p[0] for p in every), max(p[0] for p in every)
    y0, y1 = min(p[1] for p in every), max(p[1] for p in every)
    x1, y1 = (x1 if x1 > x0 else x0 + 1), (y1 if y1 > y0 else y0 + 1)
    ticks = {y: said(y) for y in (y0, (y0 + y1) / 2, y1)}
    left, right, head, foot = max(52.0, 10 + 6.5 * max(map(len, ticks.values()))), 8.0, 8.0, 34.0

    def px(x: float) -> str:
        return _c(left + (width - left - right) * (x - x0) / (x1 - x0))

    def py(y: float) -> str:
        return _c(head + (height - head - foot) * (1 - (y - y0) / (y1 - y0)))

    body = f'<path class="axis" d="M{_c(left)} {_c(head)}V{_c(height - foot)}H{_c(width - right)}"/>'
    for y, tick in ticks.items():
        body += f'<text x="{_c(left - 5)}" y="{py(y)}" dy="4" text-anchor="end">{tick}</text>'
    ends = (0, len(xs) - 1) if len(xs) > 1 else (0,)
    for i, anchor in zip(ends, ("start", "end")):
        text = said(at[i]) if numeric else shown(str(xs[i]), 20)
        body += f'<text x="{px(at[i])}" y="{_c(height - foot + 14)}" text-anchor="{anchor}">{escape(text)}</text>'
    middle = _c(left + (width - left - right) / 2)
    body += f'<text x="{middle}" y="{_c(height - 5)}" text-anchor="middle">{escape(series.get("xlabel", ""))}</text>'
    legend = ""
    for k, (name, ps) in enumerate(points.items()):
        path = "".join(f"{'L' if i else 'M'}{px(x)} {py(y)}" for i, (x, y) in enumerate(ps))
        body += f'<path class="line c{k % 6}" d="{path}"/>'
        if len(ps) <= MOST_MARKS:
            body += "".join(f'<circle class="mark c{k % 6}" cx="{px(x)}" cy="{py(y)}" r="2"/>' for x, y in ps)
        legend += f'<span class="key c{k % 6}">{escape(shown(name, 60))}</span>'
    picture = _svg(width, height, label, body, "lines")
    ylabel = escape(series.get("ylabel", ""))
    return Markup("<figure><figcaption>{}{}</figcaption>{}</figure>").format(
        Markup("<span>{}</span>").format(ylabel) if ylabel else "", Markup(legend), picture
    )


def _finite(y: Any) -> bool:
    return isinstance(y, (int, float)) and not isinstance(y, bool) and math.isfinite(y)
