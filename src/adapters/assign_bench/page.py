"""The report: one HTML file that needs nothing else, no network and no script.

A workload may come from a file, and so may its name. It is shown as text and never used as an id: those are numbered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from attrs import frozen
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from assign_bench.charts import COLOURS, frontier, latencies, over_evening, saved_by_rule
from assign_bench.claims import PROMISED, WHY_MISSED, Claim
from assign_bench.results import Results
from assign_bench.stats import Interval
from assign_bench.summary import Summary
from assign_bench.workload import Latencies
from assign_core.policy import Policy

Progress = Callable[[int, int], object]
_PLOTS: Final = {
    "frontier": frontier,
    "over_evening": over_evening,
    "latencies": latencies,
    "saved_by_rule": saved_by_rule,
}

_BESIDE: Final = {
    "job_calls_saved": ("avoidable_saved", "{:.1%} of the avoidable"),
    "calls_of_oracle": ("job_calls_of_oracle", "the job's alone {:.2f}"),
}
"""The figure without which a reader would misjudge a claim's, whether or not it is met."""


@frozen
class _Promise:
    """One target, and the claim of each workload that it is about."""

    policy: str
    what: str
    target: str
    claims: Mapping[str, Claim]


def page(results: Results, progress: Progress | None = None) -> str:
    """The whole page. ``progress`` is told how many of the workloads are drawn, and of how many."""
    environment = Environment(
        loader=PackageLoader("assign_bench"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"share": _share, "number": _number, "seconds": _seconds, "breakable": _breakable}
    plots: dict[str, Mapping[str, Markup]] = {}
    for number, workload in enumerate(results.workloads, 1):
        policies = results.of(workload)
        # What is drawn is numbers and the program's own names; nothing of it comes from a file.
        plots[workload] = {kind: Markup(draw(policies, f"{kind}-{number}")) for kind, draw in _PLOTS.items()}  # noqa: S704
        if progress is not None:
            progress(number, len(results.workloads))
    return environment.get_template("page.html").render(
        results=results,
        plots=plots,
        promises=_promises(results.claims),
        beside=partial(_beside, {(each.workload, each.policy): each for each in results.summaries}),
        missed=_missed(results.claims),
        why=WHY_MISSED,
        colours=COLOURS,
        settings=Policy(),
        latencies=Latencies(),
        figure=_figure,
    )


def _promises(claims: Sequence[Claim]) -> list[_Promise]:
    """One for each target, those of a policy together."""
    rows: dict[tuple[str, str, str], dict[str, Claim]] = {}
    policies = list(dict.fromkeys(claim.policy for claim in claims))
    for claim in sorted(claims, key=lambda claim: (policies.index(claim.policy), PROMISED.index(claim.figure))):
        rows.setdefault((claim.policy, claim.what, claim.target), {})[claim.workload] = claim
    return [_Promise(*row, of_workloads) for row, of_workloads in rows.items()]


def _beside(summaries: Mapping[tuple[str, str], Summary], claim: Claim) -> str:
    name, words = _BESIDE.get(claim.figure, ("", ""))
    interval = summaries[claim.workload, claim.policy].figures.get(name)
    return "" if interval is None else words.format(interval.value)


def _missed(claims: Sequence[Claim]) -> Mapping[str, list[Claim]]:
    """The claims that were missed, by their figure."""
    missed: dict[str, list[Claim]] = {}
    for claim in sorted(claims, key=lambda claim: PROMISED.index(claim.figure)):
        if not claim.met:
            missed.setdefault(claim.figure, []).append(claim)
    return missed


def _figure(summary: Summary, name: str) -> Interval | None:
    return summary.figures.get(name)


def _breakable(name: str) -> Markup:
    """A name that may go on in the next line after an underscore."""
    return Markup("_<wbr>").join(name.split("_"))


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
    value, low, high = (_unsigned_zero(shown(each)) for each in (interval.value, interval.low, interval.high))
    if value == low == high:
        return Markup("{}").format(value)
    return Markup("{} <small>{}&thinsp;&ndash;&thinsp;{}</small>").format(value, low, high)


def _unsigned_zero(shown: str) -> str:
    """What is shown as nothing is shown without a minus."""
    return shown if shown.strip("-0. s") else shown.removeprefix("-")
