"""What became of the mutants, in figures, and where these are kept: ``benchmarks/results/mutation.json``.

A mutant is judged by the exit code of the tests. Only a test that failed has killed it. That the tests do not end is a
sign too, but one that a busy machine can give by itself, so it is counted apart. Whatever else happened is no sign.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

KEPT: Final = Path(__file__).parents[2] / "benchmarks" / "results" / "mutation.json"
FAILED: Final = frozenset({1, 3})
"""A test failed; or pytest itself did, over what a test met."""
ENDLESS: Final = frozenset({24, -24, 36, 152, 255})
"""mutmut's limits of time and of processor time; SIGXCPU is 24."""


@dataclass(frozen=True, slots=True)
class Score:
    """How many mutants came to which end."""

    killed: int = 0
    timed_out: int = 0
    survived: int = 0

    @property
    def total(self) -> int:
        return self.killed + self.timed_out + self.survived

    @property
    def share(self) -> float:
        """Of those killed or timed out; of none, all."""
        return 1 - self.survived / max(1, self.total)

    def __add__(self, other: Self) -> Score:
        return Score(self.killed + other.killed, self.timed_out + other.timed_out, self.survived + other.survived)

    def __str__(self) -> str:
        ends = f"{self.killed} killed, {self.timed_out} timed out, {self.survived} survive"
        return f"{ends}; {self.share:.1%} of {self.total}"


def score_of(codes: Iterable[int]) -> Score:
    """The score that these exit codes make."""
    judged = list(codes)
    killed, timed_out = (sum(code in kind for code in judged) for kind in (FAILED, ENDLESS))
    return Score(killed, timed_out, len(judged) - killed - timed_out)


def kept(path: Path = KEPT) -> dict[str, Score]:
    """The scores of the last runs, by module."""
    if not path.exists():
        return {}
    modules = json.loads(path.read_text(encoding="utf-8"))["modules"]
    return {
        module: Score(figures["killed"], figures["timed_out"], figures["survived"])
        for module, figures in modules.items()
    }


def keep(scores: Mapping[str, Score], *, whole: Collection[str], tools: Mapping[str, str], path: Path = KEPT) -> None:
    """Keep the scores of a run beside those of earlier ones.

    Args:
        whole: the modules that there are; what is kept of another goes.
        tools: with their versions.
    """
    now = {module: score for module, score in sorted((kept(path) | dict(scores)).items()) if module in whole}
    total = sum(now.values(), Score())
    written = {
        "python": platform.python_version(),
        **tools,
        "modules": {module: {**asdict(score), "total": score.total} for module, score in now.items()},
        "not_run": sorted(set(whole) - set(now)),
        **asdict(total),
        "total": total.total,
        "score": round(total.share, 4),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
