"""``assign-core benchmark``: a page, the numbers behind it, and a table that fits a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

pytest.importorskip("matplotlib", reason="the page is drawn with an extra")

from assign_bench import CONTENDERS, WORKLOADS, load, save, workload
from assign_bench.results import loads

Ask = Callable[..., Result]
EVIL = 'evil"><script>[/red] \\g<0>\x1b[2J'


@pytest.fixture
def evening(tmp_path: Path) -> Callable[..., Path]:
    """A saved quiet evening with some of it changed, and few guests, since it is run under every policy."""

    def make(**changed: Any) -> Path:
        made = workload("quiet", 1)
        path = tmp_path / f"evening-{len(list(tmp_path.iterdir()))}.json"
        save(made, path)
        value = json.loads(path.read_text())
        few = value["guests"][:4]
        path.write_text(json.dumps(value | {"guests": few, "by_hand": [], "walk_ins": []} | changed))
        return path

    return make


def test_it_writes_the_page_and_the_numbers(ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out, saved = tmp_path / "out", tmp_path / "saved"
    asked = ("benchmark", "--workload", "quiet", "--seeds", "1", "--processes", "1")
    result = ask(*asked, "--out", out, "--save-workload", saved)
    assert result.exit_code == 0
    assert {path.name for path in out.iterdir()} == {"index.html", "results.json"}
    found = loads((out / "results.json").read_text())
    assert (list(found.policies), found.seeds) == (list(CONTENDERS), {"quiet": (0,)})
    assert (out / "index.html").read_text().startswith("<!doctype html>")

    lines = result.stdout.splitlines()
    assert lines[0] == "1 evening of quiet, seed 0"
    assert max(map(len, lines)) <= 80
    assert "…" not in result.stdout
    for name in CONTENDERS:
        assert any(line.startswith(f"{name} ") for line in lines)

    assert [path.name for path in saved.iterdir()] == ["quiet-0.json"]
    assert load(saved / "quiet-0.json") == workload("quiet", 0)


def test_a_long_name_fits_eighty_columns(
    ask: Ask, evening: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = ask("benchmark", "--workload", evening(name="sold_out_cancel" * 9), "--processes", "1", "--out", tmp_path)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "…" not in result.stdout


def test_a_file_is_what_was_run_and_its_name_is_only_text(
    ask: Ask, evening: Callable[..., Path], tmp_path: Path
) -> None:
    out, saved = tmp_path / "out", tmp_path / "saved"
    asked = ("benchmark", "--workload", evening(name=EVIL), "--processes", "1", "--out", out)
    result = ask(*asked, "--save-workload", saved)
    assert result.exit_code == 0
    assert result.stdout.startswith("1 evening of evil")
    assert ", seed 1\n" in result.stdout
    assert "30 evenings" not in result.stdout
    assert "\x1b" not in result.stdout
    assert loads((out / "results.json").read_text()).seeds == {EVIL: (1,)}
    assert "<script" not in (out / "index.html").read_text()
    assert list(saved.iterdir()) == [], "it is a file already"


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (["--quick", "--seeds", "3"], "--quick means"),
        (["--workload", "bussy"], "no workload and no file 'bussy'"),
        (["--workload", "quiet", "--workload", "quiet"], "given 2 times"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    refusal: Callable[..., str], tmp_path: Path, asked: list[str], named: str
) -> None:
    assert named in refusal("benchmark", "--out", tmp_path / "out", *asked)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_workload_is_refused_with_the_way_to_one(
    refusal: Callable[..., str], write: Callable[..., Path], tmp_path: Path
) -> None:
    told = refusal("benchmark", "--out", tmp_path / "out", "--workload", write("evening.json", {"format": "other"}))
    assert "--save-workload" in told


@pytest.mark.parametrize("option", ["--out", "--save-workload"])
def test_a_folder_that_cannot_be_made_is_refused(
    refusal: Callable[..., str], write: Callable[..., Path], tmp_path: Path, option: str
) -> None:
    folders = {"--out": tmp_path / "out", "--save-workload": tmp_path / "saved"} | {option: write("file", "") / "x"}
    given = [word for pair in folders.items() for word in pair]
    assert f"pass another {option}" in refusal("benchmark", "--workload", "quiet", "--seeds", "1", *given)


def test_a_name_that_evenings_are_made_from_is_a_files_name() -> None:
    assert all(name.isidentifier() for name in WORKLOADS)
