"""Who is compared: one job for each way of deciding when to search again.

All of them follow the same inline attempts, in the same restaurant. They differ in the job alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from attrs import frozen

from assign_bench.host import Host, Jobs
from assign_bench.oracle import Oracle
from assign_bench.polling import EngineJobs
from assign_bench.retries import (
    ExponentialJitter,
    FixedDelays,
    HalvedBudget,
    HardStop,
    NegativeCache,
    Retry,
    TokenBucket,
)
from assign_bench.rivals import RivalJobs
from assign_core.policy import Policy


def _as_given(policy: Policy) -> Policy:
    return policy


@frozen(kw_only=True)
class Contender:
    """A policy of the comparison.

    Attributes:
        name: in reports.
        what: one sentence.
        jobs: makes the jobs of one run.
        versions: whether the host keeps capacity versions; nobody but the engine asks for them.
        inline_tells_staff: whether an inline attempt may write to the staff, as the engine's does; a rival's job does.
        settings: what the engine's policy is changed to.
    """

    name: str
    what: str
    jobs: Callable[[Host], Jobs]
    versions: bool = False
    inline_tells_staff: bool = True
    settings: Callable[[Policy], Policy] = _as_given


def _rival(make: Callable[[Host], Retry], *, honours_flag: bool = False) -> Callable[[Host], Jobs]:
    return lambda host: RivalJobs(host, make(host), honours_flag)


def _cache(host: Host) -> Retry:
    database = host.restaurant.database

    def slot(booking_id: str) -> tuple[object, int]:
        row = database.row(booking_id)
        return row.start_at, row.party

    return NegativeCache(slot=slot, clock=host.restaurant.clock.monotonic)


BASELINE: Final = "no-sharing"
ORACLE: Final = "oracle"

_ALL: Final = (
    Contender(
        name=BASELINE,
        what="Four attempts at fixed delays, whatever anyone found: the baseline.",
        jobs=_rival(lambda _: FixedDelays()),
        inline_tells_staff=False,
    ),
    Contender(
        name="seed",
        what="A fresh inline failure for want of seats halves the budget; the e-mail flag is honoured.",
        jobs=_rival(lambda _: HalvedBudget(), honours_flag=True),
        inline_tells_staff=False,
    ),
    Contender(
        name="hard-stop",
        what="Stops at the job's first deterministic failure.",
        jobs=_rival(lambda _: HardStop()),
        inline_tells_staff=False,
    ),
    Contender(
        name="exception-retry",
        what="Four attempts, exponential backoff with jitter on every failure: tenacity's `wait_exponential_jitter`.",
        jobs=_rival(lambda _: ExponentialJitter()),
        inline_tells_staff=False,
    ),
    Contender(
        name="ttl-cache",
        what="The baseline behind a cache that answers 'nothing' for a slot for 60 s, whatever is freed meanwhile.",
        jobs=_rival(_cache),
        inline_tells_staff=False,
    ),
    Contender(
        name="token-bucket",
        what="A retry quota for all jobs, as in the AWS SDKs.",
        jobs=_rival(lambda _: TokenBucket()),
        inline_tells_staff=False,
    ),
    Contender(name="ours", what="The engine, with capacity versions.", jobs=EngineJobs, versions=True),
    Contender(
        name="ours-last-hour",
        what="The engine, with capacity versions; who waits is searched for in the last hour before the start.",
        jobs=EngineJobs,
        versions=True,
        settings=lambda policy: replace(policy, wake_window=timedelta(hours=1)),
    ),
    Contender(
        name="ours-no-versions",
        what="The engine on a host that keeps no capacity versions.",
        jobs=EngineJobs,
    ),
    Contender(
        name=ORACLE,
        what="Clairvoyant: a job calls the planner only when the search will succeed.",
        jobs=Oracle,
        versions=True,
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
