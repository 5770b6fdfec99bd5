"""The report's plots, as SVG for a page that is read on white and on black.

Text, axes and grid take their colour from the page (``currentColor``, ``--grid``), which a style sheet changes and a
plot cannot; the lines' colours are of middle lightness and show on both. Text stays text, so it is in the page's font,
and can be selected and searched. Nothing refers to anything outside the page.

Each plot is given a name that no other plot of the page has: a letter, then letters, digits and hyphens. What is drawn
comes from the program, and never from a file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from assign_bench.claims import LAST_HOUR, NO_VERSIONS, OURS, THE_ENGINES
from assign_bench.policies import BASELINE, ORACLE
from assign_bench.result import SERIES_STEP, SHAPE
from assign_bench.services import MORNING
from assign_bench.stats import Interval
from assign_bench.summary import Summary

COLOURS: Final = {
    BASELINE: "#d1495b",
    "seed": "#b8860b",
    "hard-stop": "#9b6dd7",
    "exception-retry": "#8a8f98",
    "ttl-cache": "#17a2b8",
    "token-bucket": "#d67ab1",
    OURS: "#2a9d5c",
    LAST_HOUR: "#0f7f74",
    NO_VERSIONS: "#86b049",
    ORACLE: "#3b82d6",
}
"""A policy's colour, the same in every plot."""
_SHAPES: Final = {
    BASELINE: "s",
    "seed": "^",
    "hard-stop": "v",
    "exception-retry": "x",
    "ttl-cache": "D",
    "token-bucket": "+",
    OURS: "o",
    LAST_HOUR: "o",
    NO_VERSIONS: "o",
    ORACLE: "*",
}
"""A policy's point, hollow but for the engine's, so that those which coincide are all seen."""
_OTHER: Final = "#8a8f98"
_INK: Final = "#010203"
"""Stands for the page's own colour until the SVG is written."""
_GRID: Final = "#040506"
_SETTINGS: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "assign-core",
    "font.size": 9.0,
    "font.family": "sans-serif",
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
}
_NOT_FOR_A_PAGE: Final = re.compile(
    r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|\sxmlns(?::xlink)?=\"[^\"]*\"", re.DOTALL
)
_ID_OR_REFERENCE: Final = re.compile(r'\bid="|\bhref="#|\burl\(#')
"""What an id or a reference to one follows."""


def frontier(policies: Sequence[Summary], name: str) -> str:
    """Job calls in percent of the baseline's, against what was lost for saving them."""

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        for each in policies:
            across = _percent(each.figures.get("job_calls_of_baseline"))
            _point(left, each, across, each.figures["lost_at_cutoff"])
            _point(right, each, across, each.figures["fewer_guests"])
        left.set_ylabel("bookings lost per evening")
        right.set_ylabel("guests fewer than baseline")
        for axes in (left, right):
            axes.set_xlabel("job's planner calls, % of the baseline's")
            axes.axhline(0.0, color=_INK, linewidth=0.8)
            axes.set_xlim(left=0.0)
        # Differences that no evening could show are not blown up.
        left.set_ylim(min(-0.05, left.get_ylim()[0]), max(1.0, left.get_ylim()[1]))
        right.set_ylim(min(-1.0, right.get_ylim()[0]), max(1.0, right.get_ylim()[1]))
        _legend(right)

    return _svg(draw, name, width=9.6, height=3.0)


def over_evening(policies: Sequence[Summary], name: str) -> str:
    """The job's planner calls in each quarter of an hour."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for each in policies:
            series = each.job_calls_over_time
            hours = [step * SERIES_STEP / 3600.0 for step in range(len(series) + 1)]
            axes.stairs(series, hours, label=each.policy, color=_colour(each), linewidth=_width(each))
        axes.set_xticks(range(0, 15, 2), [_clock(hour) for hour in range(0, 15, 2)])
        axes.set_ylabel("calls per quarter of an hour")
        axes.set_ylim(bottom=0.0)
        _legend(axes)

    return _svg(draw, name, width=9.6, height=2.8)


def latencies(policies: Sequence[Summary], name: str) -> str:
    """How many guests had their answer, and how many bookings their table, within how long."""

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        shares = [float(percent) for percent in SHAPE]
        for each in policies:
            style = {"label": each.policy, "color": _colour(each), "linewidth": _width(each)}
            left.plot(each.inline.at, shares, **style)
            right.plot([max(1.0, second) for second in each.delay.at], shares, **style)
        left.axvline(2.0, color=_INK, linewidth=0.8, linestyle=":")
        left.set_xlim(left=0.0)
        left.set_xlabel("guest's wait for an answer, seconds")
        left.set_ylabel("% of requests")
        right.set_xscale("log")
        right.set_xticks([1, 10, 60, 600, 3600, 36000], ["1 s", "10 s", "1 min", "10 min", "1 h", "10 h"])
        right.minorticks_off()
        right.set_xlabel("from the request to the table")
        right.set_ylabel("% of the bookings seated")
        _legend(right)

    return _svg(draw, name, width=9.6, height=2.8)


def saved_by_rule(policies: Sequence[Summary], name: str) -> str:
    """The baseline's job calls less the engine's, by the rule that decided when the booking's job first looked."""
    engine = [each for each in policies if each.saved_by_rule]
    rules = sorted(
        {rule for each in engine for rule in each.saved_by_rule}, key=lambda rule: (_most(engine, rule), rule)
    )

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        height = 0.8 / max(1, len(engine))
        for number, each in enumerate(engine):
            places = [place + (len(engine) - 1 - number) * height for place in range(len(rules))]
            values = [each.saved_by_rule.get(rule, 0) / each.seeds for rule in rules]
            bars = axes.barh(places, values, height=height, color=_colour(each), label=each.policy)
            axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
        middle = height * (len(engine) - 1) / 2
        axes.set_yticks([place + middle for place in range(len(rules))], rules)
        axes.set_xlabel("job's planner calls saved per evening")
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.12)
        _legend(axes)

    return _svg(draw, name, width=9.6, height=0.9 + 0.38 * max(1, len(rules)))


def _point(axes: Axes, summary: Summary, across: Interval | None, up: Interval) -> None:
    if across is None:
        return
    axes.errorbar(
        [across.value],
        [up.value],
        xerr=[[across.value - across.low], [across.high - across.value]],
        yerr=[[up.value - up.low], [up.high - up.value]],
        fmt=_SHAPES.get(summary.policy, "o"),
        markersize=8,
        markerfacecolor=_colour(summary) if summary.policy in THE_ENGINES else "none",
        markeredgewidth=1.5,
        color=_colour(summary),
        elinewidth=0.9,
        label=summary.policy,
    )


def _legend(axes: Axes) -> None:
    """Beside the plot; where there is nothing to tell apart, there is nothing to plot, and it says so."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0.0)
    else:
        axes.text(0.5, 0.55, "the baseline's job made no call", transform=axes.transAxes, ha="center")


def _percent(share: Interval | None) -> Interval | None:
    return share and Interval(value=100 * share.value, low=100 * share.low, high=100 * share.high)


def _most(engine: Sequence[Summary], rule: str) -> int:
    return max(each.saved_by_rule.get(rule, 0) for each in engine)


def _clock(hours: float) -> str:
    moment: datetime = MORNING + timedelta(hours=hours)
    return f"{moment:%H:%M}"


def _colour(summary: Summary) -> str:
    return COLOURS.get(summary.policy, _OTHER)


def _width(summary: Summary) -> float:
    return 2.4 if summary.policy in (*THE_ENGINES, BASELINE, ORACLE) else 1.2


def _svg(draw: Callable[[Figure], None], name: str, *, width: float, height: float) -> str:
    """The drawing as an element of a page. Its ids, and whatever refers to them, begin with its name."""
    with rc_context({**_SETTINGS, "svg.hashsalt": name}):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None})
    svg = _NOT_FOR_A_PAGE.sub("", written.getvalue()).replace("xlink:href", "href")
    svg = svg.replace(_INK, "currentColor").replace(_GRID, "var(--grid)")
    return _ID_OR_REFERENCE.sub(lambda found: f"{found[0]}{name}-", svg).strip()
