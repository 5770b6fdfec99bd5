"""``assign-core replay``: small histories, reckoned by hand."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st

from assign_cli.history import RecordedAttempt, RecordedInline
from assign_cli.projection import project
from assign_cli.replaying import Effect, Replayed, replay_attempts, replay_inline, status_of
from assign_cli.summary import Summary, summarise
from assign_core import Action, Policy

Ask = Callable[..., Result]
Write = Callable[..., Path]

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)
EXACT = Policy(jitter=0.0)
"""The defaults, but for the jitter, so that times can be reckoned by hand."""

CAPACITY = "No capacity"
PERMANENT = "Insufficient global capacity"
NETWORK = "fetch failed"
CONFLICT = "Hold conflicts prevented all candidates"


def attempt(
    after: float, duration: float, reason: str | None = None, *, booking: str = "a", run: str | None = None
) -> RecordedAttempt:
    """An attempt reported ``after`` seconds past noon that took ``duration`` seconds; a success without a reason."""
    return RecordedAttempt(
        file="h.csv",
        line=2,
        run=run,
        booking_id=booking,
        reported_at=NOON + timedelta(seconds=after),
        success=reason is None,
        reason=reason,
        duration_ms=round(duration * 1000),
    )


def replayed(*rows: RecordedAttempt, policy: Policy = EXACT, runs_are_resets: bool = False) -> tuple[Replayed, ...]:
    return replay_attempts(rows, policy, runs_are_resets=runs_are_resets)


def effects(answers: Sequence[Replayed]) -> list[str]:
    return [answer.effect.value for answer in answers]


def told(answers: Sequence[Replayed], policy: Policy = EXACT) -> Summary:
    return summarise(answers, (), project((answer.row for answer in answers), policy), policy)


def test_a_single_attempt_is_made() -> None:
    (answer,) = replayed(attempt(0, 10))
    assert (answer.effect, answer.delay, answer.revision) == (Effect.MADE, None, 0)
    assert answer.asked_at == NOON - timedelta(seconds=10)
    assert answer.decision.rules == ("no_usable_evidence",)


def test_a_success_within_the_freshness_of_a_capacity_failure_is_delayed_until_it_is_stale() -> None:
    # Fails at 12:00:00; the next search, recorded from 12:00:55 to 12:01:00, waits until 12:05:00.
    answers = replayed(attempt(0, 10, CAPACITY), attempt(60, 5))
    assert effects(answers) == ["made", "delayed"]
    assert answers[1].decision.not_before == NOON + timedelta(minutes=5)
    assert answers[1].delay == timedelta(seconds=245)
    summary = told(answers)
    assert (summary.calls.recorded, summary.calls.made, summary.calls.put_off, summary.calls.saved) == (2, 2, 1, 0)
    assert (summary.successes_kept, summary.successes_delayed, summary.successes_lost) == (0, 1, 0)
    assert summary.longest_delay == timedelta(seconds=245)


def test_a_call_put_off_is_saved_when_the_record_has_a_later_one_to_take_its_place() -> None:
    # 12:00:55 waits until 12:05; the one at 12:09:40 finds the evidence stale and is made.
    answers = replayed(attempt(0, 10, CAPACITY), attempt(60, 5, CAPACITY), attempt(600, 20))
    assert effects(answers) == ["made", "saved", "made"]
    assert answers[1].decision.action is Action.WAIT
    assert answers[1].delay is None
    summary = told(answers)
    assert (summary.calls.made, summary.calls.saved) == (2, 1)
    assert (summary.calls.seconds_recorded, summary.calls.seconds_made, summary.calls.seconds_saved) == (35, 30, 5)
    assert summary.successes_kept == 1


def test_a_call_put_off_at_the_end_of_the_record_is_still_to_be_made_once() -> None:
    answers = replayed(attempt(0, 10, CAPACITY), attempt(60, 5, CAPACITY), attempt(120, 5, CAPACITY))
    assert effects(answers) == ["made", "saved", "put_off"]
    summary = told(answers)
    assert (summary.calls.made, summary.calls.put_off, summary.calls.saved) == (2, 1, 1)


def test_a_success_after_a_permanent_failure_is_lost_while_that_is_fresh() -> None:
    answers = replayed(attempt(0, 1, PERMANENT), attempt(60, 5))
    assert effects(answers) == ["made", "lost"]
    summary = told(answers)
    assert (summary.successes_lost, summary.calls.saved, summary.calls.seconds_saved) == (1, 1, 5)
    assert effects(replayed(attempt(0, 1, PERMANENT), attempt(60, 5, PERMANENT))) == ["made", "saved"]
    # Begun 300 s after the failure it is still fresh, and 1 ms later it is not.
    assert effects(replayed(attempt(0, 1, PERMANENT), attempt(305, 5))) == ["made", "lost"]
    assert effects(replayed(attempt(0, 1, PERMANENT), attempt(305.001, 5))) == ["made", "made"]


def test_the_backoff_counts_from_the_start_of_the_last_attempt() -> None:
    # Began 11:59:59, so the second may begin at 12:00:04; it was recorded as beginning at 12:00:02.
    answers = replayed(attempt(0, 1, NETWORK), attempt(4, 2))
    assert effects(answers) == ["made", "delayed"]
    assert answers[1].delay == timedelta(seconds=2)
    assert effects(replayed(attempt(0, 1, NETWORK), attempt(6, 2))) == ["made", "made"]


def test_an_attempt_does_not_begin_before_the_last_one_has_ended() -> None:
    # Recorded from 11:59:00 to 12:00:10, while the first one ran until 12:00:00.
    answers = replayed(attempt(0, 10, CAPACITY), attempt(10, 70))
    assert answers[1].asked_at == NOON
    assert answers[1].decision.rules == ("capacity_fresh",)
    assert answers[1].delay == timedelta(minutes=6)


def test_after_four_failures_without_news_the_fifth_search_is_spared() -> None:
    hourly = [attempt(3600 * number, 10, NETWORK) for number in range(5)]
    answers = replayed(*hourly)
    assert effects(answers) == ["made"] * 4 + ["saved"]
    assert answers[4].decision.rules == ("no_usable_evidence", "budget_used_up")
    assert [answer.decision.attempts_used for answer in answers] == [0, 1, 2, 3, 4]


def test_attempts_that_the_policy_would_not_have_made_spend_no_budget() -> None:
    # The second is put off; so the fifth, an hour later, is the fourth that is made.
    times = [(0, 10), (60, 5), (3600, 10), (7200, 10), (10_800, 10), (14_400, 10)]
    answers = replayed(*(attempt(after, duration, CAPACITY) for after, duration in times))
    assert effects(answers) == ["made", "saved", "made", "made", "made", "saved"]


def test_a_booking_attempted_after_a_success_was_reset_and_starts_afresh() -> None:
    rows = [attempt(0, 10, PERMANENT), attempt(400, 5), attempt(401, 1, PERMANENT)]
    answers = replayed(*rows)
    assert effects(answers) == ["made", "made", "made"]
    assert [answer.revision for answer in answers] == [0, 0, 1]
    assert answers[2].decision.attempts_used == 0
    assert told(answers).resets == 1
    # A success that is lost resets it too: the record goes on from there.
    assert effects(replayed(attempt(0, 1, PERMANENT), attempt(60, 5), attempt(61, 1))) == ["made", "lost", "made"]


def test_runs_are_resets_only_when_asked_for() -> None:
    rows = [attempt(3600 * number, 10, NETWORK, run=f"r{number}") for number in range(5)]
    assert effects(replayed(*rows, runs_are_resets=True)) == ["made"] * 5
    same_run = [attempt(0, 1, PERMANENT, run="r"), attempt(60, 5, PERMANENT, run="r")]
    assert effects(replayed(*same_run, runs_are_resets=True)) == ["made", "saved"]
    assert told(replayed(*rows, runs_are_resets=True)).shortest_pause is None


def test_bookings_do_not_know_of_each_other_and_rows_may_come_in_any_order() -> None:
    a1, a2 = attempt(0, 10, PERMANENT), attempt(60, 5)
    b1 = attempt(30, 5, booking="b")
    assert effects(replayed(a2, b1, a1)) == ["lost", "made", "made"]


def test_the_failures_are_told_by_class() -> None:
    answers = replayed(attempt(0, 10, CAPACITY), attempt(60, 5, CONFLICT), attempt(600, 20, PERMANENT))
    by_class = told(answers).by_failure_class
    assert {name.value: (calls.recorded, calls.made, calls.saved) for name, calls in by_class.items()} == {
        "permanent": (1, 1, 0),
        "capacity": (1, 1, 0),
        "contention": (1, 0, 1),
    }


def test_the_shortest_pause_lies_between_a_result_and_the_beginning_of_the_next_attempt() -> None:
    answers = replayed(attempt(0, 10, NETWORK), attempt(500, 90, NETWORK), attempt(1500, 10))
    assert told(answers).shortest_pause == timedelta(seconds=410)


class TestInline:
    """Rows of an inline recording: the call is kept; the job that follows reads the row."""

    @staticmethod
    def row(status: str, reason: str | None, *, email: bool = False) -> RecordedInline:
        return RecordedInline(
            file="i.csv",
            line=2,
            booking_id="a",
            seen_at=NOON + timedelta(seconds=3),
            final_status=status,
            recorded_at=NOON,
            success=reason is None,
            reason=reason,
            duration_ms=2000,
            email_sent=email,
        )

    def test_a_blob_that_says_failure_does_not_make_a_confirmed_booking_be_searched_for(self) -> None:
        rows = [
            self.row("confirmed_inline_api", "INLINE_TIMEOUT"),
            self.row("confirmed_inline_poll", None),
            self.row("confirmed", None, email=True),
            self.row("pending", "INLINE_TIMEOUT"),
            self.row("pending_allocation", CAPACITY),
            self.row("pending", PERMANENT),
            self.row("cancelled_by_guest", CAPACITY),
        ]
        inline = replay_inline(rows, EXACT)
        assert [each.before.action for each in inline] == [Action.ATTEMPT] * 7
        assert [each.after.action.value for each in inline] == [
            "ensure_email",
            "ensure_email",
            "ensure_email",
            "attempt",
            "wait",
            "give_up",
            "none",
        ]
        summary = summarise((), inline, {}, EXACT)
        after = summary.after_inline
        assert (after.blob_says_failure, after.blob_says_failure_row_confirmed) == (5, 1)
        assert (after.searches_by_blob_alone, after.seconds_by_blob_alone) == (5, 10.0)
        assert (after.searches_avoided, after.seconds_avoided) == (3, 6.0)
        assert (after.emails_suppressed, after.emails_to_ensure) == (1, 2)
        # The recorded inline calls themselves are all kept.
        assert (summary.calls.recorded, summary.calls.made, summary.calls.saved) == (7, 7, 0)
        assert (summary.successes_kept, summary.successes_lost) == (2, 0)

    @pytest.mark.parametrize(
        ("recorded", "status"),
        [
            ("confirmed", "confirmed"),
            ("confirmed_inline_api", "confirmed"),
            ("pending_allocation", "pending_allocation"),
            ("pending_after_timeout", "pending"),
            ("no_show", "no_show"),
            ("waitlisted", "waitlisted"),
        ],
    )
    def test_a_recorded_status_may_say_more_than_the_status(self, recorded: str, status: str) -> None:
        assert status_of(recorded) == status


HEADER = "run,booking_id,executed_at,success,reason,duration_ms\n"
SMALL = (
    HEADER + "r1,a,2026-03-14T12:00:00Z,False,No capacity,10000\n"
    "r1,a,2026-03-14T12:01:00Z,True,Assigned,5000\n"
    "r1,b,2026-03-14T12:00:00Z,False,Insufficient global capacity,1000\n"
    "r1,b,2026-03-14T12:02:00Z,True,Assigned,4000\n"
)
INLINE = (
    "ts,booking_id,final_status,blob_success,blob_reason,blob_duration_ms,blob_email_sent,blob_last_attempt_at\n"
    "2026-03-14T12:00:05Z,c,confirmed_inline_api,False,INLINE_TIMEOUT,1800,False,2026-03-14T12:00:02Z\n"
)


def test_json_tells_everything(ask_json: Callable[..., Any], write: Write) -> None:
    history, inline, policy = write("h.csv", SMALL), write("i.csv", INLINE), write("p.json", {"jitter": 0})
    found = ask_json("replay", history, inline, "--policy", policy)
    assert list(found) == ["files", "attempts", "summary"]
    assert found["files"] == [str(history), str(inline)]
    assert found["attempts"][1] == {
        "file": str(history),
        "line": 3,
        "booking_id": "a",
        "source": "job",
        "at": "2026-03-14T12:00:55Z",
        "recorded": {"success": True, "reason": "Assigned", "duration_ms": 5000},
        "action": "wait",
        "not_before": "2026-03-14T12:05:00Z",
        "rules": ["capacity_fresh"],
        "evidence": "fresh",
        "effect": "delayed",
        "delay_seconds": 245.0,
        "then": None,
    }
    assert [each["effect"] for each in found["attempts"]] == ["made", "delayed", "made", "lost", "made"]
    assert found["attempts"][4]["at"] == "2026-03-14T12:00:00.200000Z"
    assert found["attempts"][4]["then"] == {
        "at": "2026-03-14T12:00:05Z",
        "final_status": "confirmed_inline_api",
        "action": "ensure_email",
        "not_before": None,
        "rules": ["already_confirmed"],
        "evidence": "fresh",
        "suppress_email": False,
    }
    summary = found["summary"]
    assert {name: summary[name] for name in summary if name.startswith(("planner", "successes", "longest"))} == {
        "planner_calls_recorded": 5,
        "planner_calls_made": 4,
        "planner_calls_put_off": 1,
        "planner_calls_saved": 1,
        "planner_seconds_recorded": 21.8,
        "planner_seconds_made": 17.8,
        "planner_seconds_saved": 4.0,
        "successes_recorded": 2,
        "successes_kept": 0,
        "successes_delayed": 1,
        "successes_lost": 1,
        "longest_delay_seconds": 245.0,
    }
    assert (summary["bookings"], summary["resets"]) == (3, 0)
    assert summary["actions"] == {"attempt": 3, "give_up": 1, "wait": 1}
    assert summary["evidence"] == {"absent": 3, "fresh": 2}
    assert (summary["shortest_pause_seconds"], summary["freshness_seconds"]) == (55.0, 300.0)
    assert summary["projection"]["total"]["failures"] == 2
    assert summary["after_inline"]["searches_avoided"] == 1


def test_the_tables_name_what_was_lost_and_delayed(ask: Ask, write: Write) -> None:
    result = ask("replay", write("h.csv", SMALL))
    assert (result.exit_code, result.stderr) == (0, "")
    words = " ".join(result.stdout.split())
    assert "Recorded successes: 2, of these 1 lost, 1 delayed by at most 4 min 5 s" in words
    assert "still fresh before 2 of the recorded attempts" in words
    lines = result.stdout.splitlines()
    lost = next(line for line in lines if "success lost" in line)
    delayed = next(line for line in lines if "success delayed" in line)
    assert lost.split()[:3] == ["line", "5", "b"]
    assert delayed.split()[:3] == ["line", "3", "a"]
    assert "permanent_failure" in lines[lines.index(lost) + 1]
    assert "capacity_fresh" in lines[lines.index(delayed) + 1]
    assert "wait 4 min 5 s" in delayed
    assert lines.index(lost) < lines.index(delayed)


def test_evidence_that_is_always_stale_is_said_to_be_so(ask: Ask, write: Write) -> None:
    rows = "".join(f"r1,a,2026-03-14T1{hour}:00:00Z,False,fetch failed,10000\n" for hour in range(2, 7))
    words = " ".join(ask("replay", write("h.csv", HEADER + rows)).stdout.split())
    assert "The shortest pause between a booking's result and its next attempt is 59 min 50 s" in words
    assert "always stale" in words
    assert "saved by the budget alone" in words


def test_the_list_is_cut_short_only_with_a_word(ask: Ask, write: Write) -> None:
    rows = "".join(
        f"r1,b{number},2026-03-14T12:00:00Z,False,Insufficient global capacity,1000\n"
        f"r1,b{number},2026-03-14T12:01:00Z,False,No capacity,1000\n"
        for number in range(25)
    )
    history = write("h.csv", HEADER + rows)

    def listed(*options: str) -> int:
        return sum(line.startswith(" line ") for line in ask("replay", history, *options).stdout.splitlines())

    assert listed() == 20
    assert "5 more like these; --attempts lists every attempt" in ask("replay", history).stdout
    assert listed("--attempts") == 50
    assert "more like these" not in ask("replay", history, "--attempts").stdout
    assert listed("--no-attempts") == 0


def test_a_row_is_named_by_as_much_of_its_place_as_it_takes(ask: Ask, write: Write, tmp_path: Path) -> None:
    first, second = write("h.csv", SMALL), write("g.csv", SMALL.replace(",a,", ",c,").replace(",b,", ",d,"))
    assert " line 3 " in ask("replay", first).stdout
    assert " h.csv:3 " in ask("replay", first, second).stdout
    (tmp_path / "more").mkdir()
    namesake = write("more/h.csv", second.read_bytes())
    assert " h.csv:3 " not in ask("replay", first, namesake).stdout


def test_inline_attempts_are_listed_when_asked_for(ask: Ask, write: Write) -> None:
    inline = write("i.csv", INLINE)
    assert "INLINE_TIMEOUT" not in ask("replay", inline).stdout
    listed = ask("replay", inline, "--attempts").stdout
    assert "ensure_email" in listed
    assert "already_confirmed" in listed


@pytest.mark.parametrize("content", [HEADER, "booking_id,name,at,context\n", "[]"])
def test_a_history_of_no_attempts_is_no_error(
    ask: Ask, ask_json: Callable[..., Any], write: Write, content: str
) -> None:
    history = write("h.csv", content)
    result = ask("replay", history)
    assert (result.exit_code, result.stdout) == (0, f"Nothing to replay: no attempts in {history}.\n")
    assert ask_json("replay", history)["summary"]["planner_calls_recorded"] == 0


@pytest.mark.parametrize("content", [b"", codecs.BOM_UTF8, b"\n \r\n"], ids=["nothing", "byte order mark", "blank"])
def test_a_file_without_even_a_header_is_an_export_that_failed(
    refusal: Callable[..., str], write: Write, content: bytes
) -> None:
    history = write("h.csv", content)
    line = refusal("replay", history)
    assert f"{history} is empty" in line
    assert "columns" in line
    # One good file beside it does not make up for it.
    assert f"{history} is empty" in refusal("replay", write("good.csv", SMALL), history)
    assert "- is empty" in refusal("replay", "-", stdin=content)


@pytest.mark.parametrize(
    ("content", "byte"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "byte 0x89 at 0"),
        (b"(\xb5/\xfd$a", "byte 0xb5 at 1"),
        (b"PK\x03\x04\x14\0\x06\0", "byte 0x00 at 5"),
        (HEADER.encode("utf-16"), "byte 0xff at 0"),
        (codecs.BOM_UTF8 + b"booking_id,gr\xf6\xdfe\n", "byte 0xf6 at 16"),
    ],
    ids=["picture", "zstd", "zip", "UTF-16", "Latin-1"],
)
def test_a_binary_file_is_told_as_such_and_not_by_its_columns(
    refusal: Callable[..., str], write: Write, content: bytes, byte: str
) -> None:
    line = refusal("replay", write("h.csv", content))
    assert f"is not UTF-8 text: {byte};" in line
    assert "column" not in line


def test_one_file_by_two_paths_would_count_twice(
    refusal: Callable[..., str], ask: Ask, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = write("h.csv", SMALL)
    monkeypatch.chdir(history.parent)
    os.link(history, "linked.csv")
    (history.parent / "pointed.csv").symlink_to(history)
    for other in ("./h.csv", "linked.csv", "pointed.csv"):
        line = refusal("replay", "h.csv", other)
        assert f"'h.csv' and '{other}' are the same file" in line
        assert "twice" in line
    assert "'h.csv' is given twice" in refusal("replay", "h.csv", "h.csv")
    # The same content in two files may be two restaurants' quiet evenings.
    write("copy.csv", SMALL)
    assert ask("replay", "h.csv", "copy.csv").exit_code == 0


def test_a_history_may_come_through_a_pipe(ask_json: Callable[..., Any]) -> None:
    assert ask_json("replay", "-", stdin=SMALL)["summary"]["planner_calls_recorded"] == 4


def test_runs_as_resets_need_to_know_the_run(refusal: Callable[..., str], write: Write) -> None:
    without = write("h.csv", "booking_id,executed_at,success,reason,duration_ms\na,2026-03-14T12:00:00Z,True,,1\n")
    for option in ("--runs-are-resets", "--runs-continue"):
        line = refusal("replay", without, option)
        assert "no column 'run'" in line
        assert option in line


FIVE_RUNS = HEADER + "".join(f"r{hour},a,2026-03-14T1{hour}:00:00Z,False,fetch failed,10000\n" for hour in range(2, 7))
"""Five failures of one booking, each in a run of its own: one more than the full budget."""


def test_no_saving_rests_on_a_budget_that_a_reset_may_have_renewed(
    ask: Ask, ask_json: Callable[..., Any], write: Write
) -> None:
    history = write("h.csv", FIVE_RUNS)
    for options in ((), ("--runs-are-resets",)):
        summary = ask_json("replay", history, *options)["summary"]
        assert (summary["planner_calls_saved"], summary["resets"]) == (0, 4)
        assert summary["runs"] == {
            "number": 5,
            "are_resets": True,
            "otherwise": {
                "planner_calls_saved": 1,
                "planner_seconds_saved": 10.0,
                "successes_lost": 0,
                "successes_delayed": 0,
            },
        }
    words = " ".join(ask("replay", history).stdout.split())
    assert "The 5 runs count as resets" in words
    assert "Read as one history (--runs-continue), 1 calls (10 s) would be saved, 0 successes lost" in words


def test_runs_that_continue_are_one_history(ask: Ask, ask_json: Callable[..., Any], write: Write) -> None:
    history = write("h.csv", FIVE_RUNS)
    summary = ask_json("replay", history, "--runs-continue")["summary"]
    assert (summary["planner_calls_saved"], summary["resets"]) == (1, 0)
    assert summary["runs"]["are_resets"] is False
    assert summary["runs"]["otherwise"]["planner_calls_saved"] == 0
    words = " ".join(ask("replay", history, "--runs-continue").stdout.split())
    assert "The 5 runs are read as one history" in words
    assert "(--runs-are-resets), 0 calls (0 s) would be saved" in words


def test_a_success_that_the_other_reading_would_lose_is_told(ask_json: Callable[..., Any], write: Write) -> None:
    history = write("h.csv", FIVE_RUNS + "r7,a,2026-03-14T17:00:00Z,True,,10000\n")
    assert ask_json("replay", history)["summary"]["runs"]["otherwise"]["successes_lost"] == 1


def test_of_a_single_run_there_is_nothing_to_say(ask: Ask, ask_json: Callable[..., Any], write: Write) -> None:
    history = write("h.csv", SMALL)
    assert ask_json("replay", history)["summary"]["runs"] is None
    assert "runs" not in ask("replay", history).stdout


def test_foreign_text_is_never_markup(ask: Ask, write: Write) -> None:
    first = "r1,[red]x,2026-03-14T12:00:00Z,False,Insufficient global capacity,1\n"
    second = 'r1,[red]x,2026-03-14T12:01:00Z,False,":smile: [/] \x1b[2J",1\n'
    result = ask("replay", write("h.csv", HEADER + first + second))
    assert result.exit_code == 0
    assert "[red]x" in result.stdout
    assert ":smile: [/]" in result.stdout
    assert "\x1b" not in result.stdout


reasons = st.sampled_from([None, CAPACITY, PERMANENT, NETWORK, CONFLICT, "INLINE_TIMEOUT", "Table 7 is not adjacent"])
histories = st.lists(
    st.builds(
        attempt,
        st.integers(0, 4000),
        st.integers(0, 300),
        reasons,
        booking=st.sampled_from("ab"),
        run=st.sampled_from("xy"),
    ),
    max_size=12,
)


@given(histories, st.booleans())
def test_the_accounts_add_up(rows: list[RecordedAttempt], runs_are_resets: bool) -> None:
    answers = replayed(*rows, runs_are_resets=runs_are_resets)
    assert [answer.row for answer in answers] == rows
    summary = told(answers)
    calls = summary.calls
    assert calls.recorded == calls.made + calls.saved == len(rows)
    assert calls.seconds_recorded == pytest.approx(sum(row.duration_ms for row in rows) / 1000)
    assert calls.seconds_made + calls.seconds_saved == pytest.approx(calls.seconds_recorded)
    assert summary.successes_recorded == sum(row.success for row in rows)
    assert sum(each.recorded for each in summary.by_failure_class.values()) == len(rows) - summary.successes_recorded
    for answer in answers:
        assert (answer.delay is not None) == (answer.effect in {Effect.DELAYED, Effect.PUT_OFF})
        assert answer.delay is None or answer.delay > timedelta(0)


@given(histories)
def test_p6_no_revision_costs_more_than_its_budget(rows: list[RecordedAttempt]) -> None:
    made: dict[tuple[str, int], int] = {}
    for answer in replayed(*rows):
        if answer.effect is not Effect.SAVED and answer.effect is not Effect.LOST:
            key = answer.row.booking_id, answer.revision
            made[key] = made.get(key, 0) + 1
    assert all(count <= EXACT.max_attempts for count in made.values())


@given(histories, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(rows: list[RecordedAttempt], shuffler: Any) -> None:
    distinct = list({(row.booking_id, row.reported_at): row for row in rows}.values())
    shuffled = distinct.copy()
    shuffler.shuffle(shuffled)
    answers = {id(answer.row): answer for answer in replayed(*distinct)}
    assert {id(answer.row): answer for answer in replayed(*shuffled)} == answers
