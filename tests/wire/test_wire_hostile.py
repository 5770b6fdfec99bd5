"""Whatever stands in the column, reading it ends in a value, soon, and says what was wrong in one sentence."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from decimal import Decimal
from typing import Final, NoReturn

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assign_core.last_result import LastResult, Strategy, Unreadable
from assign_wire import KEYS, MAX_BYTES, MAX_TEXT, dumps, loads

GOOD: Final[dict[str, object]] = {
    "v": 1,
    "source": "job",
    "lastAttemptAt": "2025-11-15T00:40:13.242000Z",
    "success": False,
    "reason": "No capacity",
    "reasonCode": "no_capacity",
    "strategy": {"requireAdjacency": True, "maxTables": 3},
    "trigger": "queue",
    "alternates": 0,
    "durationMs": 6012,
    "attemptId": "437f694d-a410-4b61-8787-63e13802b1ba",
    "attempt": 1,
    "revision": 1,
    "emailSent": False,
    "emailVariant": "modified",
    "held": True,
    "capacityVersion": 12,
    "retryAfter": "2025-11-15T00:42:13.242000Z",
}
LONGEST_PROBLEM: Final = 200


def refuse(value: object) -> str:
    """The problem of a value that has to be unreadable."""
    refused = loads(value)
    assert isinstance(refused, Unreadable), refused
    assert 0 < len(refused.problem) <= LONGEST_PROBLEM
    assert refused.problem.isprintable()
    return refused.problem


def test_the_good_blob_is_good() -> None:
    """Or else the tests below would show nothing."""
    assert isinstance(loads(GOOD), LastResult)
    assert set(GOOD) == {"v", *KEYS.values()}


any_number = st.integers() | st.integers(2**62, 2**70) | st.floats()
any_text = st.text(st.characters(exclude_categories=[]))
any_value = st.recursive(
    st.none() | st.booleans() | any_number | any_text | st.binary() | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(any_text | any_number | st.none(), inner) | st.tuples(inner),
    max_leaves=8,
)
any_key = st.sampled_from(list(GOOD)) | any_text
almost_good = st.builds(
    lambda changed, dropped: {k: v for k, v in {**GOOD, **changed}.items() if k not in dropped},
    st.dictionaries(any_key, any_value, max_size=3),
    st.sets(st.sampled_from(list(GOOD)), max_size=3),
)


@settings(deadline=None)
@given(any_value | almost_good)
def test_any_value_is_read_or_refused(value: object) -> None:
    result = loads(value)
    if isinstance(result, LastResult):
        blob = dumps(result)
        assert loads(blob) == loads(dumps(result))
        assert len(json.dumps(blob, ensure_ascii=False).encode()) <= MAX_BYTES
        assert isinstance(loads(blob), LastResult)
    elif result is not None:
        refuse(value)


@settings(deadline=None)
@given(any_value | almost_good)
def test_text_is_read_as_the_object_that_it_says(value: object) -> None:
    try:
        text = json.dumps(value, allow_nan=False)
        said = json.loads(text)
    except (TypeError, ValueError):
        return
    if len(text) <= MAX_TEXT and not isinstance(said, str):
        from_text = loads(text)
        assert isinstance(from_text, Unreadable) == isinstance(loads(said), Unreadable)
        assert isinstance(from_text, Unreadable) or from_text == loads(said)


@settings(deadline=None)
@given(any_text | st.binary())
@example("[" * MAX_TEXT)
@example('{"a":' * 3000)
@example(b"\xff\xfe{\x00}\x00")
@example("1" * 5000)
@example('{"attempt": ' + "9" * 5000 + "}")
@example("NaN")
@example("-Infinity")
@example("1e999")
@example("\ud800")
@example("\x00")
@example("")
@example("\ufeff{}")
@example("{} {}")
@example('"{}"')
def test_any_text_is_refused_unless_it_is_null(value: str | bytes) -> None:
    if value.strip() not in ("null", b"null"):
        refuse(value)


@pytest.mark.parametrize("value", [None, "null", b"null", " null\n"])
def test_null_is_no_evidence(value: object) -> None:
    assert loads(value) is None


@pytest.mark.parametrize(
    "value", [[], [GOOD], 0, 1.5, True, float("nan"), object(), (), {1}, bytearray(b"null"), LastResult, Decimal(1)]
)
def test_what_is_no_object_is_refused(value: object) -> None:
    assert refuse(value).startswith("the blob is not a JSON object: ")


@pytest.mark.parametrize("text", ["[]", "0", '""', "true", '[{"source": "job"}]'])
def test_text_of_what_is_no_object_is_refused(text: str) -> None:
    assert refuse(text).startswith("the blob is not a JSON object: ")


@pytest.mark.parametrize("empty", [{}, "{}", b"{}", OrderedDict()])
def test_an_empty_object_is_not_the_same_as_null(empty: object) -> None:
    assert refuse(empty) == "source is missing"


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_a_text_with_a_number_that_json_does_not_have_is_refused(constant: str) -> None:
    text = json.dumps({**GOOD, "unknown": float(constant)})
    assert refuse(text) == f"the text cannot be read as JSON: it says {constant}"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_text_that_is_nested_too_deeply_is_refused(opening: str) -> None:
    assert refuse(opening * (MAX_TEXT // len(opening))).startswith("the text is nested too deeply: ")


# One key at a time: what does not fit is refused, and the sentence names the key and the value.

NOT_TEXT: Final = [5, 1.5, True, [], ["x"], {}, b"x"]
NOT_WHOLE_OR_PART: Final = [True, False, "3", -1, 2**63, 10**6000, [], {}, Decimal(3)]
NOT_COUNT: Final = [1.0, *NOT_WHOLE_OR_PART]
NOT_FLAG: Final = [0, 1, "true", "false", "", [], {}, 1.0]
MISFITS: Final = {
    "v": ["1", True, 1.0, 0, [1]],
    "source": ["web", "INLINE", "inline ", "", "\x00", "\ud800", *NOT_TEXT],
    "lastAttemptAt": ["", "yesterday", "2025-11-15T00:40:13", *NOT_TEXT],
    "success": NOT_FLAG,
    "reason": NOT_TEXT,
    "reasonCode": NOT_TEXT,
    "strategy": ["", 1, True, [], [1]],
    "trigger": NOT_TEXT,
    "alternates": NOT_COUNT,
    "durationMs": [
        float("nan"),
        float("inf"),
        float("-inf"),
        -0.1,
        2.0**63,
        1e300,
        *(x for x in NOT_COUNT if x != 1.0),
        True,
    ],
    "attemptId": NOT_TEXT,
    "attempt": NOT_COUNT,
    "revision": NOT_COUNT,
    "emailSent": NOT_FLAG,
    "emailVariant": NOT_TEXT,
    "held": NOT_FLAG,
    "capacityVersion": [True, "3", 1.0, 2**63, -(2**63) - 1, -(10**6000), [], {}],
    "retryAfter": ["", "tomorrow", *NOT_TEXT],
}


def test_every_key_is_tried() -> None:
    assert set(MISFITS) == set(GOOD)


@pytest.mark.parametrize("key", list(MISFITS))
@pytest.mark.parametrize("left_out", [(), ("v", "attempt")])
def test_a_value_that_does_not_fit_is_named(key: str, left_out: tuple[str, ...]) -> None:
    blob = {other: found for other, found in GOOD.items() if other not in left_out}
    for value in MISFITS[key]:
        problem = refuse({**blob, key: value})
        assert problem.startswith(f"{key} is not ")
        said = problem.partition(": ")[2]
        if isinstance(value, bool | float | str | bytes) or (isinstance(value, int) and abs(value) < 2**64):
            assert said == repr(value)


@pytest.mark.parametrize(
    ("strategy", "problem"),
    [
        ({"requireAdjacency": 1}, "strategy.requireAdjacency is not true or false: 1"),
        ({"maxTables": True}, "strategy.maxTables is not a whole number: True"),
        ({"maxTables": "3"}, "strategy.maxTables is not a whole number: '3'"),
        ({"maxTables": -1}, "strategy.maxTables is not between 0 and 9223372036854775807: -1"),
        ([], "strategy is not an object: a list of 0"),
    ],
)
def test_a_knob_that_does_not_fit_is_named(strategy: object, problem: str) -> None:
    assert refuse({**GOOD, "strategy": strategy}) == problem


@pytest.mark.parametrize("key", ["source", "lastAttemptAt", "success"])
def test_a_key_that_has_to_be_there_is_named(key: str) -> None:
    assert refuse({other: value for other, value in GOOD.items() if other != key}) == f"{key} is missing"
    assert refuse({**GOOD, key: None}) == f"{key} is missing"


@pytest.mark.parametrize("key", ["reason", "trigger", "attemptId", "reasonCode", "source", "lastAttemptAt", "attempt"])
def test_a_long_value_is_cut_in_the_sentence(key: str) -> None:
    assert len(refuse({**GOOD, key: "é" * 10_000_000})) < 150


# Sizes.


def padded(length: int) -> str:
    text = json.dumps(GOOD)
    return text + " " * (length - len(text))


def test_text_is_read_up_to_the_limit_and_not_beyond() -> None:
    assert isinstance(loads(padded(MAX_TEXT)), LastResult)
    assert isinstance(loads(padded(MAX_TEXT).encode()), LastResult)
    for text in (padded(MAX_TEXT + 1), padded(MAX_TEXT + 1).encode(), padded(10_000_000)):
        assert refuse(text).startswith(f"the text is longer than {MAX_TEXT}: ")


@pytest.mark.parametrize("key", ["reason", "trigger", "attemptId"])
def test_a_string_in_an_object_has_the_same_limit(key: str) -> None:
    longest = loads({**GOOD, key: "x" * MAX_TEXT})
    assert isinstance(longest, LastResult)
    assert len(json.dumps(dumps(longest))) <= MAX_BYTES + 100  # ASCII escapes for the ellipsis
    assert refuse({**GOOD, key: "x" * (MAX_TEXT + 1)}).startswith(f"{key} is longer than {MAX_TEXT} characters: ")


def test_an_object_with_very_many_keys_is_read() -> None:
    assert loads(dict.fromkeys(map(str, range(100_000))) | GOOD) == loads(GOOD)


def test_deep_nesting_in_a_key_is_harmless() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert loads({**GOOD, "unknown": deep}) == loads(GOOD)
    assert refuse({**GOOD, "reason": deep}) == "reason is not a text: a list of 1"


def test_keys_that_are_no_text_are_ignored() -> None:
    odd: dict[object, object] = {5: 1, None: 2, (1, 2): 3, b"source": 4}
    odd.update(GOOD)
    assert loads(odd) == loads(GOOD)


# Objects that behave badly.


class Trap(Exception):
    """What the traps below raise."""


def spring(*_: object, **__: object) -> NoReturn:
    raise Trap


class TrappedValue:
    """Everything that one might do with a value raises, and it claims to be a str."""

    __class__ = property(lambda _: str)
    __eq__ = __ne__ = __hash__ = __repr__ = __str__ = __len__ = __bool__ = __iter__ = spring


class Faceless:
    """Not even its class can be asked for."""

    __class__ = property(spring)


@pytest.mark.parametrize("key", list(GOOD))
@pytest.mark.parametrize("trap", [TrappedValue, Faceless])
def test_a_value_that_bites_is_refused(trap: type[object], key: str) -> None:
    refuse({**GOOD, key: trap()})
    refuse({key: trap()})


@pytest.mark.parametrize("trap", [TrappedValue, Faceless])
def test_a_blob_that_bites_is_refused(trap: type[object]) -> None:
    problem = refuse(trap())  # outside of assert, which would look at the trap itself
    assert problem == f"the blob is not a JSON object: a {trap.__name__!r}"


class TrappedDict(dict[str, object]):
    __iter__ = __getitem__ = __contains__ = __len__ = get = keys = values = items = spring


class LyingDict(dict[str, object]):
    """Its content changes with each look."""

    def items(self) -> Iterator[tuple[str, object]]:  # type: ignore[override]  # on purpose
        yield "source", object()

    def __contains__(self, key: object) -> bool:
        return True


class ClashingKey:
    """A key in the same bucket as ``source`` whose comparison raises."""

    def __hash__(self) -> int:
        return hash("source")

    __eq__ = spring


def test_a_dict_that_bites_is_refused() -> None:
    assert refuse(TrappedDict(GOOD)) == "the blob cannot be read: Trap"
    assert refuse({**GOOD, "strategy": TrappedDict(maxTables=1)}) != ""
    refuse(LyingDict(GOOD))
    clashing: dict[object, object] = {ClashingKey(): 1}
    assert refuse(clashing) == "the blob cannot be read: Trap"


def test_a_dict_of_another_class_is_a_dict() -> None:
    assert loads(OrderedDict(GOOD)) == loads(GOOD)
    found = loads({**GOOD, "strategy": OrderedDict(maxTables=2)})
    assert isinstance(found, LastResult)
    assert found.strategy == Strategy(max_tables=2)


def test_a_str_of_another_class_is_not_what_json_gives() -> None:
    class Marked(str):
        __slots__ = ()

    assert refuse({**GOOD, "reason": Marked("x")}) == "reason is not a text: a 'Marked'"


def test_what_comes_from_outside_is_not_what_stops_the_program() -> None:
    """An interrupt while a blob is read is the operator's, and goes through."""

    class Interrupting(dict[str, object]):
        def items(self) -> NoReturn:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loads(Interrupting(GOOD))
