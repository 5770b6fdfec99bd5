"""The generated parts of the documentation: written from the code, and known to be out of date when they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from assign_bench.claims import claims
from assign_bench.results import loads
from assign_cli.measured import MEASURED, QUICK, REPORT, results_folder
from assign_cli.readme import PARTS, decision_table, events_table, policy_table, readme, rewrite
from assign_cli.reference import decision_rows
from assign_core import CATALOGUE, Policy

Write = Callable[..., Path]

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
END = "<!-- end generated -->"
DOCUMENTS = ("README.md", "benchmarks/README.md", "src/adapters/assign_cli/REFERENCE.md")


def begin(part: str) -> str:
    return f"<!-- generated: {part} -->"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(readme, [str(each) for each in arguments])


def cells(table: str) -> list[list[str]]:
    """The body of a Markdown table whose cells hold no escaped bars."""
    lines = table.splitlines()
    assert set(lines[1]) == set("| -")
    assert all(line.startswith("| ") and line.endswith(" |") for line in lines)
    return [line[2:-2].split(" | ") for line in lines[2:]]


def test_the_decision_table_has_its_rows_and_no_cell_packs_two_rules() -> None:
    rows = cells(decision_table())
    assert [tuple(row) for row in rows] == list(decision_rows())
    assert not any(" / " in row[1] for row in rows)


def test_the_policy_table_has_a_row_for_each_setting_with_its_default_told_once() -> None:
    rows = {row[0]: row[1:] for row in cells(policy_table())}
    assert list(rows) == [f"`{field.name}`" for field in fields(Policy)]
    assert rows["`retries`"] == ["3", "Job attempts after the first, while nothing is news; count."]
    assert rows["`delays`"][0] == "5 s, 15 s, 45 s"
    assert rows["`jitter`"][0] == "0.2"
    assert rows["`freshness`"] == ["5 min", "How long evidence counts, inclusive."]
    assert rows["`inline_deadline`"][0] == "1.8 s"
    assert rows["`strategy`"][0] == "the planner's own"
    assert rows["`relax_after_timeout`"][0] == "off"
    for _, meaning in rows.values():
        assert "efault" not in meaning
        assert meaning[0].isupper()
        assert meaning.endswith(".")
        assert ".." not in meaning


def test_the_events_table_has_a_row_for_each_event() -> None:
    rows = cells(events_table())
    assert [row[0] for row in rows] == [f"`{name.value}`" for name in CATALOGUE]
    for row, spec in zip(rows, CATALOGUE.values(), strict=True):
        assert row[1:3] == [spec.severity.value, spec.meaning]
        assert row[3].replace("`", "").split(", ") == list(spec.keys)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """The kept results, beside the document that a test writes."""
    shutil.copytree(RESULTS, tmp_path / "benchmarks" / "results")
    return tmp_path / "benchmarks" / "results" / QUICK


def test_a_measured_figure_that_changes_is_a_drift(write: Write, results: Path) -> None:
    path = write("README.md", f"{begin('benchmark')}\n{END}\n")
    call(path)
    assert call(path, "--check").exit_code == 0
    value = json.loads(results.read_text())
    ours = next(each for each in value["summaries"] if (each["workload"], each["policy"]) == ("busy", "ours"))
    ours["figures"]["job_calls_saved"][0] = 0.1234
    results.write_text(json.dumps(value))
    checked = call(path, "--check")
    assert checked.exit_code == 1
    assert "benchmark out of date" in checked.stderr
    call(path)
    assert "12.3 %" in path.read_text()


@pytest.mark.parametrize("content", [None, "{}", "no JSON"])
def test_results_that_cannot_be_read_are_named_with_the_remedy(
    write: Write, results: Path, content: str | None
) -> None:
    if content is None:
        results.unlink()
    else:
        results.write_text(content)
    result = call(write("README.md", f"{begin('benchmark')}\n{END}\n"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "quick.json" in result.stderr
    assert "run make bench-quick" in result.stderr


@pytest.mark.usefixtures("results")
def test_it_writes_what_is_marked_and_nothing_else(write: Write) -> None:
    text = "# Title\n\n" + "".join(f"{begin(part)}\nold\n{END}\nkept after {part}\n" for part in PARTS) + "no newline"
    path = write("README.md", text)
    checked = call(path, "--check")
    assert checked.exit_code == 1
    for part in PARTS:
        assert part in checked.stderr
    assert path.read_text() == text

    assert call(path).exit_code == 0
    expected = "# Title\n\n" + "".join(
        f"{begin(part)}\n\n{table(path.parent)}\n\n{END}\nkept after {part}\n" for part, table in PARTS.items()
    )
    assert path.read_text() == expected + "no newline"
    assert call(path, "--check").exit_code == 0
    assert call(path).stdout == f"{path}: up to date\n"


@pytest.mark.usefixtures("results")
def test_the_check_names_the_part_that_has_drifted_and_the_remedy(write: Write) -> None:
    path = write("README.md", "".join(f"{begin(part)}\n{END}\n" for part in PARTS))
    call(path)
    path.write_text(path.read_text().replace("How long evidence counts", "For how long evidence counts"))
    result = call(path, "--check")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "policy-table out of date; run python -m assign_cli.readme" in result.stderr
    assert "decision-table" not in result.stderr


def test_lines_keep_their_ends(write: Write) -> None:
    path = write("README.md", f"a\r\n{begin('policy-table')}\r\n{END}\r\nb\r\n".encode())
    call(path)
    content = path.read_bytes()
    assert content.count(b"\n") == content.count(b"\r\n") > 10
    assert call(path, "--check").exit_code == 0


def test_a_document_without_markers_is_left_alone(write: Write) -> None:
    path = write("README.md", "# Title, and a --> here\n")
    assert call(path).exit_code == 0
    assert path.read_text() == "# Title, and a --> here\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (f"x\n{begin('decision-tabel')}\n{END}\n", "line 2 names an unknown part 'decision-tabel'; the parts are"),
        (f"{begin('policy-table')}\n", "part 'policy-table' is not closed"),
        (f"{END}\n", "line 1 says"),
        (f"{begin('policy-table')}\n{begin('events-table')}\n{END}\n", "part 'policy-table' is still open"),
    ],
)
def test_a_marker_that_cannot_be_meant_is_refused_and_nothing_written(write: Write, text: str, named: str) -> None:
    path = write("README.md", text)
    result = call(path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) == 1
    assert named in result.stderr
    assert "README.md" in result.stderr
    assert path.read_text() == text


def test_a_document_that_cannot_be_read_is_refused(tmp_path: Path, write: Write) -> None:
    assert call(tmp_path / "gone.md").exit_code == 2
    assert call("-").exit_code == 2
    assert call(write("README.md", b"\xff")).exit_code == 2


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_projects_own_documents_have_not_drifted(name: str) -> None:
    document = (ROOT / name).read_bytes().decode()
    assert rewrite(document, (ROOT / name).parent)[1] == [], "run make docs"


def test_every_part_stands_in_one_of_the_projects_documents() -> None:
    documents = "".join((ROOT / name).read_text() for name in DOCUMENTS)
    assert {part: documents.count(begin(part)) for part in PARTS} == dict.fromkeys(PARTS, 1)


def test_the_results_are_found_beside_a_document_or_in_benchmarks(results: Path, tmp_path: Path) -> None:
    assert results_folder(tmp_path) == results_folder(tmp_path / "benchmarks") == results.parent


@pytest.mark.parametrize("part", MEASURED)
def test_a_measured_part_whose_results_are_not_there_names_the_file_and_the_remedy(
    write: Write, part: str, tmp_path: Path
) -> None:
    result = call(write("README.md", f"{begin(part)}\n{END}\n"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert ".json' cannot be read" in result.stderr
    assert "; run make " in result.stderr
    assert not (tmp_path / "benchmarks").exists()


@pytest.mark.parametrize(("name", "command"), [(QUICK, "make bench-quick"), (REPORT, "make bench-report")])
def test_the_kept_results_claim_what_their_figures_say(name: str, command: str) -> None:
    found = loads((RESULTS / name).read_text())
    assert found.claims == claims(found.summaries), f"run {command}"


def lose(results: Path, kinder: str) -> None:
    """Nobody is lost but on three of the engine's busy evenings, by one reading."""
    value = json.loads(results.read_text())
    for each in value["summaries"]:
        each["seeds_with_loss"] |= {"lost_at_cutoff": 0, "lost_at_end": 0}
    ours = next(each for each in value["summaries"] if (each["workload"], each["policy"]) == ("busy", "ours"))
    ours["seeds_with_loss"][kinder] = 3
    results.write_text(json.dumps(value))


@pytest.mark.parametrize("kinder", ["lost_at_cutoff", "lost_at_end"])
def test_a_loss_by_either_reading_shows_in_the_readmes_table(write: Write, results: Path, kinder: str) -> None:
    lose(results, kinder)
    path = write("README.md", f"{begin('benchmark')}\n{END}\n")
    call(path)
    shown = {"lost_at_cutoff": "3 / 0 of 5", "lost_at_end": "0 / 3 of 5"}[kinder]
    assert path.read_text().count(shown) == 1


@pytest.mark.parametrize("kinder", ["lost_at_cutoff", "lost_at_end"])
def test_a_loss_on_any_of_the_many_evenings_is_told_in_words(write: Write, results: Path, kinder: str) -> None:
    lose(results.with_name(REPORT), kinder)
    path = write("README.md", f"{begin('benchmark')}\n{END}\n")
    call(path)
    (words,) = (line for line in path.read_text().splitlines() if line.startswith("- **Lost bookings.**"))
    assert ("that was so on 3 of" in words) is (kinder == "lost_at_cutoff")
    assert ("in the end on 3 (`busy`)" in words) is (kinder == "lost_at_end")


@pytest.mark.parametrize(
    ("not_run", "words"),
    [
        (["case", "flows"], "2 of the engine's 4 modules (the others, `case`, `flows`, were not run)"),
        ([], "all 2 modules of the engine"),
    ],
)
@pytest.mark.usefixtures("results")
def test_a_score_of_mutants_says_of_which_modules_it_is(
    write: Write, tmp_path: Path, not_run: list[str], words: str
) -> None:
    score = {"killed": 9, "timed_out": 0, "survived": 1}
    mutation = {"modules": {"policy": score, "rules": score}, "not_run": not_run}
    (tmp_path / "benchmarks" / "results" / "mutation.json").write_text(json.dumps(mutation))
    path = write("README.md", f"{begin('proof')}\n{END}\n")
    call(path)
    assert f"of 20 mutants in {words}, the tests kill 90.0 %" in path.read_text()


@pytest.mark.parametrize(("load", "words"), [(4.0, "was not idle"), (0.1, "was nearly idle")])
@pytest.mark.parametrize("part", ["costs", "costs-in-brief"])
def test_figures_of_a_server_say_how_busy_the_machine_was(
    write: Write, results: Path, part: str, load: float, words: str
) -> None:
    kept = results.parent / "postgres.json"
    value = json.loads(kept.read_text())
    value["machines"]["attempts"] |= {"load": load, "cores": 2}
    kept.write_text(json.dumps(value))
    path = write("README.md", f"{begin(part)}\n{END}\n")
    call(path)
    assert f"load average was {load:g} on 2 cores then: the machine {words}." in path.read_text()
