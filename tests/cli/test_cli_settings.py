"""``--policy FILE``: the settings by their names, durations in seconds, and one line for whatever cannot be meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta
from pathlib import Path

import pytest

from assign_cli.errors import BadInput
from assign_cli.settings import read_policy
from assign_core import Policy, Strategy

Write = Callable[..., Path]


def test_an_empty_object_is_the_default(write: Write) -> None:
    assert read_policy(str(write("p.json", {}))) == Policy()


def test_every_kind_of_setting_is_read(write: Write) -> None:
    settings = {
        "retries": 2,
        "delays": [1, 2.5],
        "jitter": 0,
        "freshness": 120,
        "grace": 0.25,
        "strategy": {"requireAdjacency": False, "maxTables": 3},
        "relax_after_timeout": True,
    }
    assert read_policy(str(write("p.json", settings))) == Policy(
        retries=2,
        delays=(timedelta(seconds=1), timedelta(seconds=2.5)),
        jitter=0.0,
        freshness=timedelta(minutes=2),
        grace=timedelta(milliseconds=250),
        strategy=Strategy(require_adjacency=False, max_tables=3),
        relax_after_timeout=True,
    )


def test_every_setting_there_is_can_be_given(write: Write) -> None:
    settings: dict[str, object] = {}
    for field in fields(Policy):
        value = field.default
        match value:
            case timedelta():
                settings[field.name] = value.total_seconds()
            case tuple():
                settings[field.name] = [each.total_seconds() for each in value]
            case Strategy():
                settings[field.name] = {}
            case _:
                settings[field.name] = value
    assert read_policy(str(write("p.json", settings))) == Policy()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"retrys": 2}, "unknown setting 'retrys'; did you mean 'retries'?"),
        ({"zzz": 2}, "unknown setting 'zzz'; the settings are retries, attempt_cap"),
        ({"retries": 2.0}, "retries is 2.0; pass a whole number"),
        ({"retries": True}, "retries is true"),
        ({"retries": "2"}, "retries is '2'"),
        ({"retries": -1}, "retries is -1"),
        ({"attempt_cap": 1}, "attempt_cap is 1"),
        ({"jitter": "none"}, "jitter is 'none'; pass a number"),
        ({"jitter": 1.5}, "jitter is 1.5; pass a share from 0 to 1"),
        ({"jitter": 10**400}, "jitter is 1000"),
        ({"freshness": "5 min"}, "freshness is '5 min'; pass a number of seconds"),
        ({"freshness": True}, "freshness is true"),
        ({"freshness": 10**400}, "freshness is 1000"),
        ('{"freshness": 1e400}', "freshness is Infinity"),
        ({"freshness": -1}, "freshness is -1"),
        ({"delays": 5}, "delays is 5; pass a list of seconds"),
        ({"delays": []}, "delays"),
        ({"delays": [15, 5]}, "delays"),
        ({"delays": [5, None]}, "delays is null"),
        ({"relax_after_timeout": 1}, "relax_after_timeout is 1; pass true or false"),
        ({"strategy": {"adjacency": True}}, "strategy is"),
        ({"strategy": None}, "strategy is null"),
        ({"strategy": {"requireAdjacency": "yes"}}, "strategy is 'yes'; pass true or false"),
        ({"strategy": {"maxTables": 0}}, "strategy is 0; pass a whole number from 1"),
        ([], "is not a JSON object: []"),
        ("{", "is not JSON"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(write: Write, content: object, named: str) -> None:
    path = write("p.json", content)
    with pytest.raises(BadInput) as refused:
        read_policy(str(path))
    message = refused.value.format_message()
    assert named in message
    assert "--policy" in message
    assert "p.json" in message


def test_the_command_line_says_it_in_one_line(refusal: Callable[..., str], write: Write) -> None:
    policy = write("p.json", {"retries": 300})
    for command in (["explain", "--last-result", "-"], ["replay", "-"]):
        assert "retries is 300" in refusal(*command, "--policy", policy, stdin="")
