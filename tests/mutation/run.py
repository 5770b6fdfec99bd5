"""Mutation testing of the core: change one thing at a time, and see whether a test minds.

    python tests/mutation/run.py                       # the whole core
    python tests/mutation/run.py decision rules case   # some of its modules

It works on a copy in a temporary directory, so the tree is left as it is and may be edited meanwhile. mutmut makes the
mutants and runs, for each, the tests that reach its function, in a process forked after everything was imported. The
values and the decision have to be held by ``tests/core`` alone, the flows and what performs them by ``tests/flows``:
whoever reads one of those folders reads the whole specification of its part. A function that only an import calls (it
fills a table) has had its effect by then, so what survives there is tried again in a process of its own. mutmut changes
the bodies of functions: what stands in tables and class bodies is not mutated, and what decorators wrap is left alone.

A mutant is killed when a test fails, and is *timed out* when the tests do not come to an end, which is told apart. All
else survives: no test minded, none reaches it, or the run ended as no run should. What survives has to be on the list
of :mod:`tests.mutation.survivors`, and what is on the list has to survive; else it ends with 1. So it does below
``LEAST`` of all mutants killed or timed out. The figures of the modules that were mutated are kept in
``benchmarks/results/mutation.json``; those of the others stay as they are there. Needs the extra ``mutation``.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

# Started as a script, by its path, so these come after it.
from tests.mutation.score import Score, keep, score_of  # noqa: E402
from tests.mutation.survivors import Mutant, disagreements, listed  # noqa: E402 - as above

COPIED: Final = ("src", "tests", "migrations", "pyproject.toml", "README.md", "LICENSE")
TOOLS: Final = ("mutmut", "pytest", "hypothesis")
LEAST: Final = 0.95
PATIENCE: Final = 600.0
"""Seconds after which tests in a process of their own are taken for endless."""
TOLD_BY_FLOWS: Final = (
    "async_engine",
    "closing",
    "drive",
    "engine",
    "flows",
    "narration",
    "notebook",
    "performing",
)
"""The modules that the flows' tests hold; ``tests/core`` holds the others."""
FIRST: Final = ("tests/core/test_core_reasons.py", "tests/core/test_core_decision.py", "tests/core")
"""Most of what an import does fills the table of reasons or that of rules."""
CALLED_BY_IMPORT: Final = """
import sys
called = set()
def note(frame, event, _):
    if event == "call" and frame.f_globals.get("__name__", "").startswith("assign_core"):
        called.add(frame.f_globals["__name__"] + "." + frame.f_code.co_qualname)
sys.setprofile(note)
import assign_core
sys.setprofile(None)
print(*sorted(name for name in called if "<" not in name))
"""
"""Prints the functions of the core that are called while it is imported."""


def modules() -> list[str]:
    """All of the core's."""
    return sorted(path.stem for path in (ROOT / "src" / "assign_core").glob("[a-z]*.py"))


def copy_to(folder: Path, tests: str) -> None:
    """The tree, with the tests that are to mind."""
    # Where the mutants will be has to be there when the interpreter starts: it remembers that a folder on its path is
    # not, never looks again, and so imports the package as it is installed, without a single mutant.
    (folder / "mutants" / "src" / "adapters").mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
        else:
            shutil.copy(source, folder / name)
    project = folder / "pyproject.toml"
    chosen = f'pytest_add_cli_args_test_selection = ["{tests}"]'
    lines = project.read_text(encoding="utf-8").splitlines()
    ours = [number for number, line in enumerate(lines) if line.startswith("pytest_add_cli_args_test_selection")]
    if len(ours) != 1:
        raise SystemExit("pyproject.toml names the tests for mutmut in no line, or in several; it takes one")
    lines[ours[0]] = chosen
    project.write_text("\n".join(lines), encoding="utf-8")


def generated(folder: Path) -> dict[str, int | None]:
    """Every mutant, with the exit code of the tests if it was tried."""
    found: dict[str, int | None] = {}
    for path in sorted(folder.glob("mutants/src/assign_core/*.meta")):
        found |= json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
    return found


def function_of(mutant: str) -> str:
    """``assign_core.reasons.x__code__mutmut_1`` is a mutant of ``assign_core.reasons._code``."""
    return mutant.rpartition("__mutmut_")[0].replace(".x_", ".", 1).replace(".xǁ", ".", 1).replace("ǁ", ".")


def described(folder: Path, name: str) -> Mutant:
    """What a mutant changes."""
    shown = subprocess.run(
        [sys.executable, "-m", "mutmut", "show", name], cwd=folder, capture_output=True, text=True, check=True
    )
    lines = [line for line in shown.stdout.splitlines() if line[:1] in {"+", "-"} and line[:3] not in {"+++", "---"}]
    removed, added = ([line[1:].strip() for line in lines if line[0] == sign] for sign in "-+")
    # A statement of several lines is shown whole; the line that differs tells more.
    pairs = [pair for pair in difflib.ndiff(removed, added) if pair[0] in "-+"]
    was, now = (" ".join(pair[2:].strip() for pair in pairs if pair[0] == sign) for sign in "-+")
    return Mutant(function_of(name), was, now)


def surroundings(folder: Path) -> dict[str, str]:
    """Where nothing is imported but the copy, and no example is made smaller or kept."""
    sources = os.pathsep.join(str(folder / "mutants" / "src" / name) for name in (".", "adapters"))
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": sources, "ASSIGN_CORE_BRIEF": "1"}


def minded_afresh(folder: Path, mutant: str) -> bool:
    """Whether a test fails when the core is imported with the mutant in it."""
    options = ("-x", "-q", "-p", "no:cacheprovider", "--ignore=tests/core/test_core_purity.py")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *FIRST],
            cwd=folder / "mutants",
            env={**surroundings(folder), "MUTANT_UNDER_TEST": mutant},
            capture_output=True,
            check=False,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        return True
    return done.returncode != 0


def called_by_import() -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", CALLED_BY_IMPORT], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


def mutate(tests: str, wanted: Sequence[str], children: int) -> tuple[dict[str, Score], list[Mutant]]:
    """What became of the mutants of some modules, and those that survive the tests of one folder."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        folder = Path(name)
        copy_to(folder, tests)
        patterns = [f"assign_core.{module}.*" for module in wanted]
        command = [sys.executable, "-m", "mutmut", "run", "--max-children", str(children), *patterns]
        ended = subprocess.run(command, cwd=folder, env=surroundings(folder), check=False)
        made = {mutant.split(".")[1] for mutant in generated(folder)}
        if not made:
            raise SystemExit("mutmut has made no mutant at all; its output above says why")
        if made.isdisjoint(wanted):
            return dict.fromkeys(wanted, Score()), []  # it has an error for that
        ended.check_returncode()
        tried = {mutant: code for mutant, code in generated(folder).items() if code is not None}
        alive = [mutant for mutant, code in tried.items() if score_of([code]).survived]
        called = called_by_import()
        unsure = [mutant for mutant in alive if function_of(mutant) in called]
        if unsure and minded_afresh(folder, ""):
            raise SystemExit("tests/core fail in a process of their own without any mutant; make them pass first")
        minded = {mutant: 1 for mutant in unsure if minded_afresh(folder, mutant)}
        codes = by_module({**tried, **minded})
        scores = {module: score_of(codes.get(module, [])) for module in wanted}
        return scores, [described(folder, mutant) for mutant in alive if mutant not in minded]


def by_module(codes: Mapping[str, int]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for mutant, code in codes.items():
        found.setdefault(mutant.split(".")[1], []).append(code)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutation testing of assign_core.")
    parser.add_argument("modules", nargs="*", help="modules of the core; all of them unless given")
    parser.add_argument("--children", type=int, default=os.cpu_count() or 1, help="mutants tried at once")
    options = parser.parse_args()
    wanted = options.modules or modules()
    if unknown := set(wanted) - set(modules()):
        parser.error(f"no module {', '.join(sorted(unknown))}; the core has {', '.join(modules())}")
    reasons = listed()
    scores, survived = dict[str, Score](), list[Mutant]()
    for tests, told in (("tests/flows", True), ("tests/core", False)):
        mine = [module for module in wanted if (module in TOLD_BY_FLOWS) is told]
        if mine:
            found = mutate(tests, mine, options.children)
            scores, survived = scores | found[0], survived + found[1]
            # At once: the next folder's may take half an hour, and be stopped.
            keep(scores, whole=modules(), tools={tool: version(tool) for tool in TOOLS})
    total = sum(scores.values(), Score())
    said = disagreements(reasons, survived, wanted)
    if total.share < LEAST:
        said.append(f"the score is below {LEAST:.0%}")
    said += [f"{module:14} {score}" for module, score in sorted(scores.items())]
    print("", *said, f"{'':14} {total}", sep="\n")  # noqa: T201 - the report is what this is for
    return len(said) > len(scores)


if __name__ == "__main__":
    raise SystemExit(main())
