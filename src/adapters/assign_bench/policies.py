"""Who is compared: one job for each way of deciding when to search again.

All of them follow the same inline attempts, in the same restaurant. They differ in the job alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import field, frozen

from assign_bench.oracle import Oracle
from assign_bench.restaurant import Restaurant
from assign_bench.retries import (
    ExponentialJitter,
    FixedDelays,
    HalvedBudget,
    HardStop,
    NegativeCache,
    Retry,
    TokenBucket,
)
from assign_bench.rivals import Ending, rival_job
from assign_bench.seen import SeenBy
from assign_bench.workers import Workers, in_turns
from assign_core.effects import Flow
from assign_core.flows import run_job
from assign_core.last_result import Source
from assign_core.outcome import Outcome, Verdict
from assign_core.policy import Policy
from assign_sim.kernel import Simulation, World


@frozen
class Host:
    """What a job is started with: where it is, and whose turn it is."""

    restaurant: Restaurant
    simulation: Simulation
    workers: Workers
    policy: Policy
    watchers: list[Callable[[], object]] = field(factory=list)
    """Called after everything that happens."""


Start = Callable[[str], tuple[Flow[Any], World]]
"""A booking's job, and the restaurant as it meets it."""


@frozen(kw_only=True)
class Contender:
    """A policy of the comparison.

    Attributes:
        name: in reports.
        what: one sentence.
        start: makes the jobs of one run.
        versions: whether the host keeps capacity versions.
        inline_tells_staff: whether an inline attempt may write to the staff, as the engine's does; a rival's job does.
    """

    name: str
    what: str
    start: Callable[[Host], Start]
    versions: bool = True
    inline_tells_staff: bool = True


def _rival(make: Callable[[Host], Retry], *, honours_flag: bool = False) -> Callable[[Host], Start]:
    def start(host: Host) -> Start:
        retry = make(host)
        host.restaurant.heard.append(
            lambda booking_id, quote: retry.heard(booking_id, quote, host.restaurant.clock.monotonic())
        )

        def job(booking_id: str) -> tuple[Flow[Any], World]:
            flow = _counted(
                rival_job(booking_id, policy=host.policy, retry=retry, honours_flag=honours_flag), host.restaurant
            )
            return in_turns(flow, host.workers), SeenBy(host.restaurant, Source.JOB)

        return job

    return start


async def _counted(flow: Flow[Ending], restaurant: Restaurant) -> Ending:
    ending = await flow
    restaurant.tally.suppressed += ending is Ending.SUPPRESSED
    return ending


def _cache(host: Host) -> Retry:
    database = host.restaurant.database

    def slot(booking_id: str) -> tuple[object, int]:
        row = database.row(booking_id)
        return row.start_at, row.party

    return NegativeCache(slot=slot, clock=host.restaurant.clock.monotonic)


def _ours(host: Host) -> Start:
    async def job(booking_id: str) -> Outcome:
        outcome = await run_job(booking_id, policy=host.policy, trigger="queue")
        found_seated = outcome.verdict is Verdict.ALREADY_CONFIRMED and outcome.decision is not None
        host.restaurant.tally.suppressed += found_seated and bool(outcome.decision and outcome.decision.suppress_email)
        return outcome

    return lambda booking_id: (in_turns(job(booking_id), host.workers), SeenBy(host.restaurant, Source.JOB))


def _oracle(host: Host) -> Start:
    oracle = Oracle(host.simulation, host.restaurant, host.policy)
    host.watchers.append(oracle.changed)
    return lambda booking_id: (_counted(oracle.job(booking_id)(), host.restaurant), oracle.world())


BASELINE: Final = "no-sharing"
ORACLE: Final = "oracle"

_ALL: Final = (
    Contender(
        name=BASELINE,
        what="Four attempts at fixed delays, whatever anyone found: the baseline.",
        start=_rival(lambda _: FixedDelays()),
        inline_tells_staff=False,
    ),
    Contender(
        name="seed",
        what="A fresh inline failure for want of seats halves the budget; the e-mail flag is honoured.",
        start=_rival(lambda _: HalvedBudget(), honours_flag=True),
        inline_tells_staff=False,
    ),
    Contender(
        name="hard-stop",
        what="Stops at the job's first deterministic failure.",
        start=_rival(lambda _: HardStop()),
        inline_tells_staff=False,
    ),
    Contender(
        name="exception-retry",
        what="Exponential backoff with jitter on every failure, as tenacity does by default.",
        start=_rival(lambda _: ExponentialJitter()),
        inline_tells_staff=False,
    ),
    Contender(
        name="ttl-cache",
        what="The baseline behind a cache that answers 'nothing' for a slot for 60 s.",
        start=_rival(_cache),
        inline_tells_staff=False,
    ),
    Contender(
        name="token-bucket",
        what="A retry quota for all jobs, as in the AWS SDKs.",
        start=_rival(lambda _: TokenBucket()),
        inline_tells_staff=False,
    ),
    Contender(name="ours", what="The engine, with capacity versions.", start=_ours),
    Contender(
        name="ours-no-versions",
        what="The engine on a host that keeps no capacity versions.",
        start=_ours,
        versions=False,
    ),
    Contender(
        name=ORACLE, what="Clairvoyant: a job calls the planner only when the search will succeed.", start=_oracle
    ),
)

CONTENDERS: Final[Mapping[str, Contender]] = MappingProxyType({each.name: each for each in _ALL})
"""Every policy by its name, the baseline first."""


def contender(name: str) -> Contender:
    """Raises ``ValueError``: no such policy."""
    try:
        return CONTENDERS[name]
    except KeyError:
        raise ValueError(f"there is no policy {name!r}; pass one of {', '.join(CONTENDERS)}") from None
