"""Reading recordings: everything, or every damaged row by its line; never half of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import example, given
from hypothesis import strategies as st

from assign_cli.errors import BadInput
from assign_cli.history import History, RecordedAttempt, RecordedInline, read_history

Ask = Callable[..., Result]
Write = Callable[..., Path]

HISTORY = (
    "run,restaurant,booking_id,party,time,executed_at,success,reason,failure_type,duration_ms,alternates,"
    "skipped_candidates\n"
)
INLINE = (
    "ts,booking_id,party,booking_date,start_time,final_status,tables_assigned,submit_ms,total_ms,blob_success,"
    "blob_reason,blob_duration_ms,blob_email_sent,blob_last_attempt_at,attempt_id\n"
)
SHORT = "booking_id,executed_at,success,reason,duration_ms\n"
GOOD = "a,2026-03-14T12:00:00Z,True,,1\n"


def test_a_planner_history_is_read() -> None:
    text = HISTORY + 'r1,House,a,4,19:30:00,2026-03-14T12:00:00.250Z,False,"No, ""really"" no",x,12632,1,2\n'
    assert read_history("h.csv", text.encode()) == History(
        attempts=(
            RecordedAttempt(
                file="h.csv",
                line=2,
                run="r1",
                booking_id="a",
                reported_at=datetime(2026, 3, 14, 12, 0, 0, 250_000, tzinfo=UTC),
                success=False,
                reason='No, "really" no',
                duration_ms=12632,
            ),
        )
    )


def test_an_attempt_began_its_duration_before_its_report() -> None:
    (row,) = read_history("h.csv", (SHORT + "a,2026-03-14T12:00:00Z,True,,90500\n").encode()).attempts
    assert row.began_at == datetime(2026, 3, 14, 11, 58, 29, 500_000, tzinfo=UTC)


def test_an_inline_recording_is_read() -> None:
    booking, blob = "a,2,2026-04-04,12:00:00,confirmed_x,1,9,9", "False,INLINE_TIMEOUT,1800,true,2026-03-14T12:00:00Z"
    row = f"2026-03-14T12:00:05Z,{booking},{blob},id-1\n"
    assert read_history("i.csv", (INLINE + row).encode()) == History(
        inline=(
            RecordedInline(
                file="i.csv",
                line=2,
                booking_id="a",
                seen_at=datetime(2026, 3, 14, 12, 0, 5, tzinfo=UTC),
                final_status="confirmed_x",
                recorded_at=datetime(2026, 3, 14, 12, tzinfo=UTC),
                success=False,
                reason="INLINE_TIMEOUT",
                duration_ms=1800,
                email_sent=True,
                attempt_id="id-1",
            ),
        )
    )


@pytest.mark.parametrize(
    "content",
    [
        (SHORT + GOOD).encode("utf-8-sig"),
        (SHORT + GOOD).replace("\n", "\r\n").encode(),
        (SHORT + "\n" + GOOD + "\n\n").encode(),
        (SHORT + GOOD).rstrip("\n").encode(),
        b"duration_ms,reason,success,executed_at,booking_id\n1,,TRUE,2026-03-14T13:00:00+01:00,a\n",
        (SHORT + GOOD.replace(",1\n", ",1.4\n")).encode(),
    ],
    ids=["byte order mark", "CRLF", "blank lines", "no last newline", "columns in another order", "a fraction"],
)
def test_what_differs_in_writing_only_reads_the_same(content: bytes) -> None:
    (row,) = read_history("h.csv", content).attempts
    assert (row.booking_id, row.reported_at, row.success, row.reason, row.duration_ms) == (
        "a",
        datetime(2026, 3, 14, 12, tzinfo=UTC),
        True,
        None,
        1,
    )


@pytest.mark.parametrize("content", [HISTORY.encode(), INLINE.encode(), SHORT.encode()])
def test_a_file_without_rows_holds_nothing(content: bytes) -> None:
    assert read_history("h.csv", content) == History()


@pytest.mark.parametrize(
    ("header", "named"),
    [
        (SHORT.replace("reason", "raeson"), "unknown column 'raeson'; the columns of a planner history are booking_id"),
        (INLINE.replace("party", "covers"), "unknown column 'covers'; the columns of an inline recording are"),
        (SHORT.replace(",reason", ""), "column 'reason' is missing"),
        (INLINE.replace(",blob_email_sent", ""), "column 'blob_email_sent' is missing"),
        (SHORT.replace("\n", ",reason\n"), "column 'reason' stands there twice"),
        (SHORT.replace(",", ";"), "unknown column 'booking_id;executed_at"),
        ("a,b\n", "unknown column 'a'"),
        (SHORT.replace("\n", ",\n"), "unknown column ''"),
        ('"booking_id\n', "the header is not CSV"),
    ],
)
def test_columns_of_no_known_layout_are_bad_input(
    refusal: Callable[..., str], write: Write, header: str, named: str
) -> None:
    line = refusal("replay", write("h.csv", header + GOOD))
    assert named in line
    assert "h.csv" in line


def test_bytes_that_are_no_text_are_bad_input(refusal: Callable[..., str], write: Write) -> None:
    assert "is not UTF-8 text: byte 0xff at 0" in refusal("replay", write("h.csv", (SHORT + GOOD).encode("utf-16")))


DAMAGED = {
    "a naive time": ("a,2026-03-14T12:00:00,True,,1", "executed_at is '2026-03-14T12:00:00', without a time zone"),
    "no time": ("a,yesterday,True,,1", "executed_at is 'yesterday'"),
    "a time in no recording": (
        "a,0001-01-01T00:00:00Z,True,,1",
        "executed_at is '0001-01-01T00:00:00Z'; expected a year",
    ),
    "a time outside the calendar": ("a,9999-12-31T23:59:59-14:00,True,,1", "executed_at"),
    "no flag": ("a,2026-03-14T12:00:00Z,yes,,1", "success is 'yes'; expected True or False"),
    "no number": ("a,2026-03-14T12:00:00Z,True,,fast", "duration_ms is 'fast'"),
    "an empty number": ("a,2026-03-14T12:00:00Z,True,,", "duration_ms is ''"),
    "a negative number": ("a,2026-03-14T12:00:00Z,True,,-1", "duration_ms is '-1'"),
    "a huge number": ("a,2026-03-14T12:00:00Z,True,," + "9" * 5000, "duration_ms is '999"),
    "NaN": ("a,2026-03-14T12:00:00Z,True,,nan", "duration_ms is 'nan'"),
    "digits of another script": ("a,2026-03-14T12:00:00Z,True,,١٢", "duration_ms is '١٢'"),
    "no booking": (" ,2026-03-14T12:00:00Z,True,,1", "booking_id is empty"),
    "a field too few": ("a,2026-03-14T12:00:00Z,True,1", "the row has 4 fields, the header 5"),
    "a field too many": ("a,2026-03-14T12:00:00Z,True,,1,1", "the row has 6 fields, the header 5"),
    "a quote inside": ('a,2026-03-14T12:00:00Z,True,"x"y,1', "the row is not CSV"),
    "a quote left open": ('a,2026-03-14T12:00:00Z,True,"x,1', "the row is not CSV"),
    "a huge field": (f"a,2026-03-14T12:00:00Z,True,{'x' * 200_000},1", "the row is not CSV"),
    "not UTF-8": (b"a,2026-03-14T12:00:00Z,True,\xff,1", "reason is '\\udcff', which is not UTF-8"),
}


@pytest.mark.parametrize(("row", "problem"), DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_row_is_named_by_its_line_and_nothing_is_computed(
    ask: Ask, write: Write, row: str | bytes, problem: str
) -> None:
    damaged = row if isinstance(row, bytes) else row.encode()
    path = write("h.csv", (SHORT + GOOD).encode() + damaged + b"\n")
    for option in ([], ["--json"]):
        result = ask("replay", path, *option)
        assert (result.exit_code, result.stdout) == (1, "")
        first, last = result.stderr.splitlines()
        assert first.startswith(f"{path}:3: {problem}")
        assert last.startswith("assign-core: 1 malformed row, so nothing was computed")


def test_every_damaged_row_of_every_file_is_named_and_lines_count_as_in_an_editor(ask: Ask, write: Write) -> None:
    first = write(
        "a.csv", SHORT + 'a,2026-03-14T12:00:00Z,False,"two\nlines",1\n' + GOOD + "a,x,True,,1\n\nb,x,no,,1\n"
    )
    second = write("b.csv", SHORT + GOOD)
    third = write("c.csv", INLINE + "x\n")
    result = ask("replay", first, second, third)
    assert (result.exit_code, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert [line.split(": ")[0] for line in lines[:-1]] == [f"{first}:5", f"{first}:7", f"{third}:2"]
    assert "executed_at is 'x'" in lines[1]
    assert "success is 'no'" in lines[1]
    assert "3 malformed rows" in lines[-1]


def test_a_damaged_row_cannot_forge_another_line(ask: Ask, write: Write) -> None:
    result = ask("replay", write("h.csv", SHORT + 'a,2026-03-14T12:00:00Z,"x\x1b[2J\nforged",,1\n'))
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 2
    assert all(line.isprintable() for line in result.stderr.splitlines())


def test_bad_input_outranks_damaged_rows(refusal: Callable[..., str], write: Write, tmp_path: Path) -> None:
    damaged = write("h.csv", SHORT + "x\n")
    assert "gone.csv" in refusal("replay", damaged, tmp_path / "gone.csv")


def test_a_file_given_twice_would_count_twice(refusal: Callable[..., str], write: Write) -> None:
    path = write("h.csv", SHORT + GOOD)
    assert "is given twice" in refusal("replay", path, path)


@given(st.binary(max_size=300))
@example(SHORT.encode() + b"\xff,,,,\n")
@example((SHORT + '"').encode())
@example((SHORT + "a\0,,,,\n").encode())
def test_whatever_a_file_holds_is_read_or_refused(content: bytes) -> None:
    with suppress(BadInput):
        read_history("h.csv", content)


@given(st.lists(st.text(max_size=20), min_size=5, max_size=5).map(",".join))
def test_whatever_a_row_holds_is_read_or_named(row: str) -> None:
    found = read_history("h.csv", (SHORT + GOOD + row + "\n").encode("utf-8", "surrogatepass"))
    assert bool(found.attempts) != bool(found.malformed)
