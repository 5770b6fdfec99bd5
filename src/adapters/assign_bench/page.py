"""The report: one HTML file that needs nothing else, no network and no script."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from assign_bench.charts import COLOURS, frontier, latencies, over_evening, saved_by_rule
from assign_bench.results import Results
from assign_bench.stats import Interval
from assign_bench.summary import Summary
from assign_core.policy import Policy

Progress = Callable[[int, int], object]
_PLOTS: Final = {
    "frontier": frontier,
    "over_evening": over_evening,
    "latencies": latencies,
    "saved_by_rule": saved_by_rule,
}


def page(results: Results, progress: Progress | None = None) -> str:
    """The whole page. ``progress`` is told how many of the workloads are drawn, and of how many."""
    environment = Environment(
        loader=PackageLoader("assign_bench"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"share": _share, "number": _number, "seconds": _seconds}
    plots: dict[str, Mapping[str, Markup]] = {}
    for done, workload in enumerate(results.workloads, 1):
        policies = results.of(workload)
        # Drawn here from names and numbers; what could come from a file is escaped by the one who draws.
        plots[workload] = {name: Markup(draw(policies)) for name, draw in _PLOTS.items()}  # noqa: S704
        if progress is not None:
            progress(done, len(results.workloads))
    return environment.get_template("page.html").render(
        results=results,
        plots=plots,
        colours=COLOURS,
        settings=Policy(),
        figure=_figure,
    )


def _figure(summary: Summary, name: str) -> Interval | None:
    return summary.figures.get(name)


def _share(interval: Interval | None) -> Markup:
    """In percent, with its interval."""
    return _with_limits(interval, lambda value: f"{100 * value:.1f}")


def _number(interval: Interval | None, digits: int = 1) -> Markup:
    return _with_limits(interval, lambda value: f"{value:.{digits}f}")


def _seconds(interval: Interval | None) -> Markup:
    """In seconds below two minutes, then as hours, minutes and seconds."""
    return _with_limits(
        interval, lambda value: f"{value:.2f} s" if value < 120 else str(timedelta(seconds=round(value)))
    )


def _with_limits(interval: Interval | None, shown: Callable[[float], str]) -> Markup:
    if interval is None:
        return Markup("&ndash;")
    value, low, high = (shown(each) for each in (interval.value, interval.low, interval.high))
    if value == low == high:
        return Markup("{}").format(value)
    return Markup("{} <small>{}&thinsp;&ndash;&thinsp;{}</small>").format(value, low, high)
