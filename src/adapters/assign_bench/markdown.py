"""Results as Markdown, for a README: what the engine saved on each service, what it missed, and everybody's figures.

Every figure comes from the results, and a figure that missed its target says so where it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Final

from assign_bench.claims import LAST_HOUR, OURS, PROMISED, THE_ENGINES, Claim
from assign_bench.policies import BASELINE
from assign_bench.results import Results
from assign_bench.summary import Summary

_MISSED: Final = " (missed)"
_OURS_HEAD: Final = (
    "service",
    "policy",
    "job calls saved",
    "of the avoidable",
    "calls, of oracle's (job's alone)",
    "guests, against baseline",
    "evenings with a loss",
    "delay p95 (baseline's)",
    "same bookings (baseline's)",
    "inline p95",
    "e-mails twice",
)
_ALL_HEAD: Final = (
    "policy",
    "job calls",
    "saved",
    "calls, of oracle's (job's alone)",
    "guests",
    "fewer guests (evenings)",
    "lost (evenings)",
    "delay p95",
    "inline p95",
    "e-mails twice",
)


_Missed = set[tuple[str, str, str]]
"""Service, policy and figure."""


def _missed(claims: Iterable[Claim]) -> _Missed:
    return {(each.workload, each.policy, each.figure) for each in claims if not each.met}


def _marker(each: Summary, missed: _Missed) -> Callable[..., str]:
    """Says of figures of one row whether their target was missed."""

    def mark(*figures: str) -> str:
        return _MISSED if any((each.workload, each.policy, figure) in missed for figure in figures) else ""

    return mark


_VERSIONS: Final = {OURS: "kept", LAST_HOUR: "kept, last hour"}
"""What the tables say of the host's capacity versions; else there are none."""

_BRIEF_HEAD: Final = (
    "service",
    "capacity versions",
    "job's planner calls saved",
    "guests seated, against baseline",
    "evenings with a booking lost: at its last chance / in the end",
    "delay p95 of all seated (baseline's)",
    "of those that both seat (baseline's)",
    "inline p95",
    "e-mails twice (baseline's)",
)


def in_brief(found: Results, many: Results) -> str:
    """What the engine saved on each service, with what it missed marked; and what more evenings say of its losses."""
    missed = _missed(found.claims)
    base = {each.workload: each for each in found.summaries if each.policy == BASELINE}
    ours = [each for each in found.summaries if each.policy in THE_ENGINES]
    return "\n\n".join(
        (
            _head(found),
            table(_BRIEF_HEAD, (_of_brief(each, base[each.workload], missed) for each in ours)),
            f"{_met(found)} targets are met. Losses are rare. Over {many.ran()}, {_met(many)} are met:",
            "\n".join(f"- {line}" for line in _what_it_costs(many)),
        )
    )


def _met(found: Results) -> str:
    return f"{sum(each.met for each in found.claims)} of {len(found.claims)}"


def _what_it_costs(found: Results) -> Iterator[str]:
    """The two figures of which the kinder half alone would mislead, in words."""
    ours = [each for each in found.summaries if each.policy in THE_ENGINES]
    evenings = sum(each.seeds for each in ours)
    at_cutoff, at_end = (sum(each.seeds_with_loss[loss] for each in ours) for loss in ("lost_at_cutoff", "lost_at_end"))
    where = ", ".join(dict.fromkeys(f"`{each.workload}`" for each in ours if each.seeds_with_loss["lost_at_end"]))
    yield (
        "**Lost bookings.** A booking is lost when the baseline seats it and the engine does not, although a search "
        f"would have found it a table. At its last chance that was so on {at_cutoff} of {evenings} evenings, and with "
        f"the seats that were free in the end on {at_end}{where and f' ({where})'}."
    )
    later = max(ours, key=lambda each: _added(each, "delay_p95", "baseline_delay_p95"))
    same = max(ours, key=lambda each: _added(each, "paired_delay_p95", "paired_baseline_delay_p95"))
    yield (
        "**Delay** is the time from the request to the table. At worst its p95 over everybody who was seated is "
        f"{_words_of_delay(later, 'delay_p95', 'baseline_delay_p95')}: the engine still seats guests whom the baseline "
        "gave up long before. Over the bookings that both seat it is at worst "
        f"{_words_of_delay(same, 'paired_delay_p95', 'paired_baseline_delay_p95')}: a freed table went first to "
        "somebody who had asked earlier."
    )


def _added(each: Summary, own: str, base: str) -> float:
    return each.figures[own].value - each.figures[base].value


def _words_of_delay(each: Summary, own: str, base: str) -> str:
    return (
        f"{each.figures[own].value:,.0f} s against {each.figures[base].value:,.0f} s (`{each.workload}`, capacity "
        f"versions: {_VERSIONS.get(each.policy, 'none')})"
    )


def _of_brief(each: Summary, base: Summary, missed: _Missed) -> tuple[str, ...]:
    mark = _marker(each, missed)
    fewer = each.figures["fewer_guests"].value
    twice = each.figures["emails_duplicate"].value, base.figures["emails_duplicate"].value
    return (
        f"`{each.workload}`",
        _VERSIONS.get(each.policy, "none"),
        _percent(each, "job_calls_saved") + mark("job_calls_saved"),
        f"{_signed(-fewer)}, fewer on {each.seeds_with_loss['fewer_guests']} of {each.seeds}{mark('fewer_guests')}",
        _lost_on(each) + mark("lost_at_cutoff", "lost_at_end"),
        f"{_against(each, 'delay_p95', 'baseline_delay_p95')} s{mark('delay_p95')}",
        f"{_against(each, 'paired_delay_p95', 'paired_baseline_delay_p95')} s{mark('paired_delay_p95')}",
        f"{each.worst['inline_p95']:.2f} s{mark('inline_p95')}",
        f"{twice[0]:.1f} ({twice[1]:.1f}){mark('emails_duplicate')}",
    )


def as_markdown(found: Results) -> str:
    """Everything: what the engine saved, what it missed and what was measured beside that, and everybody's figures."""
    missed = _missed(found.claims)
    ours = [each for each in found.summaries if each.policy in THE_ENGINES]
    return "\n\n".join(
        (
            _head(found),
            table(_OURS_HEAD, (_of_ours(each, missed) for each in ours)),
            _LEGEND,
            _what_was_missed(found.claims),
            *(_details(found, workload) for workload in found.workloads),
        )
    )


def _head(found: Results) -> str:
    machine = found.machine
    libraries = ", ".join(f"{name} {version}" for name, version in machine.libraries.items())
    return (
        f"{found.ran()[:1].upper()}{found.ran()[1:]}; {libraries}; {machine.python}; {machine.processor}, "
        f"{machine.cores} cores, {machine.system}. Only the time that it took, {machine.seconds:g} s, depends on the "
        "machine."
    )


_LEGEND: Final = (
    "*Saved* is in percent of the job's planner calls of `no-sharing`; *of the avoidable*, in percent of what the "
    "clairvoyant oracle saves. *A loss*: a booking that the baseline seated and this policy did not, although a search "
    "would have found it a table at its last useful moment, or although its seats were free in the end. *Delay*: from "
    "the request to the table, in seconds, of all who were seated, and of the same bookings that both policies seat. "
    "*Inline p95*: a guest's wait for an answer, in seconds, on the worst evening."
)


def _of_ours(each: Summary, missed: _Missed) -> tuple[str, ...]:
    mark = _marker(each, missed)
    fewer = each.figures["fewer_guests"].value
    return (
        f"`{each.workload}`",
        f"`{each.policy}`",
        _percent(each, "job_calls_saved") + mark("job_calls_saved"),
        _percent(each, "avoidable_saved"),
        _of_oracle(each) + mark("calls_of_oracle"),
        f"{_signed(-fewer)}, fewer on {each.seeds_with_loss['fewer_guests']} of {each.seeds}{mark('fewer_guests')}",
        _lost_on(each) + mark("lost_at_cutoff", "lost_at_end"),
        _against(each, "delay_p95", "baseline_delay_p95") + mark("delay_p95"),
        _against(each, "paired_delay_p95", "paired_baseline_delay_p95")
        + mark("paired_delay_p95", "added_delay_p95", "added_delay"),
        f"{each.worst['inline_p95']:.2f}{mark('inline_p95')}",
        f"{each.figures['emails_duplicate'].value:.1f}{mark('emails_duplicate')}",
    )


def _details(found: Results, workload: str) -> str:
    rows = ((f"`{each.policy}`", *_of_any(each)) for each in found.of(workload))
    return _folded(f"<code>{escape(workload)}</code>: {escape(found.workloads[workload])}", table(_ALL_HEAD, rows))


def _of_any(each: Summary) -> tuple[str, ...]:
    figures = each.figures
    lost = f"{figures['lost_at_cutoff'].value:.2f} / {figures['lost_at_end'].value:.2f}"
    return (
        f"{figures['job_calls'].value:.1f}",
        _percent(each, "job_calls_saved"),
        _of_oracle(each),
        f"{figures['guests'].value:.1f}",
        f"{_signed(figures['fewer_guests'].value)} ({each.seeds_with_loss['fewer_guests']} of {each.seeds})",
        f"{lost} ({_lost_on(each)})",
        f"{figures['delay_p95'].value:.0f} s",
        f"{figures['inline_p95'].value:.2f} s",
        f"{figures['emails_duplicate'].value:.1f}",
    )


def _what_was_missed(claims: Sequence[Claim]) -> str:
    met = f"{sum(each.met for each in claims)} of {len(claims)} targets are met."
    missed: dict[tuple[str, str, str], list[str]] = {}
    for each in sorted(claims, key=lambda claim: PROMISED.index(claim.figure)):
        if not each.met:
            beside = f" ({each.beside})" if each.beside else ""
            missed.setdefault((each.policy, each.what, each.target), []).append(
                f"`{each.workload}` {each.measured}{beside}"
            )
    if not missed:
        return met
    lines = [
        f"- `{policy}`, {what}: {target}, but {', '.join(measured)}."
        for (policy, what, target), measured in missed.items()
    ]
    return _folded(f"{met} What was missed, and what was measured beside it:", "\n".join(lines))


def _folded(summary: str, body: str) -> str:
    """What a reader opens if it is of interest. Markdown is read within only after an empty line."""
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def _percent(each: Summary, figure: str) -> str:
    interval = each.figures.get(figure)
    return "-" if interval is None else f"{100 * interval.value:.1f} %"


def _of_oracle(each: Summary) -> str:
    job = each.figures.get("job_calls_of_oracle")
    return f"{each.figures['calls_of_oracle'].value:.2f} ({'-' if job is None else f'{job.value:.2f}'})"


def _lost_on(each: Summary) -> str:
    """By each of the two readings."""
    losses: Mapping[str, int] = each.seeds_with_loss
    return f"{losses['lost_at_cutoff']} / {losses['lost_at_end']} of {each.seeds}"


def _against(each: Summary, own: str, base: str) -> str:
    return f"{each.figures[own].value:.0f} ({each.figures[base].value:.0f})"


def _signed(value: float) -> str:
    """Without the sign of a zero."""
    return f"{value:+.1f}" if round(value, 1) else "0.0"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; what would end a cell in one is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)
