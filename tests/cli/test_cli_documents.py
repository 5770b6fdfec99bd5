"""What the documents print is there: commands, extras and make targets as a reader types them, answers, and links."""

from __future__ import annotations

import re
import shlex
import tomllib
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from assign_cli.__main__ import COMMANDS, cli
from assign_cli.errors import BadInput
from assign_core import Policy

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ("README.md", "migrations/README.md", "benchmarks/README.md")


def lines(language: str) -> list[str]:
    """The lines of the documents' blocks in this language, without remarks."""
    text = "\n".join((ROOT / name).read_text() for name in DOCUMENTS)
    blocks = re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def shell(program: str) -> list[list[str]]:
    """The arguments of each call of a program in the shell blocks."""
    calls = [shlex.split(line, comments=True) for line in lines("sh")]
    return [call[1:] for call in calls if call[0] == program]


@pytest.mark.parametrize("arguments", shell("assign-core"), ids=" ".join)
def test_a_command_as_printed_is_one_that_is_understood(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mails").mkdir()
    monkeypatch.chdir(tmp_path)
    name, *rest = arguments
    if ">" in rest:
        rest = rest[: rest.index(">")]
    COMMANDS[name].load().make_context(name, rest)


def test_a_command_with_an_option_that_there_is_not_is_not_understood() -> None:
    with pytest.raises(BadInput, match="--fix"):
        COMMANDS["verify"].load().make_context("verify", ["--fix"])


def test_an_extra_as_printed_is_one_that_there_is() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    printed = {
        extra for call in shell("pip") for each in re.findall(r"\[(.*?)\]", " ".join(call)) for extra in each.split(",")
    }
    assert printed
    assert printed <= set(extras)


def test_a_make_target_as_printed_is_one_that_there_is() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "".join((ROOT / name).read_text() for name in DOCUMENTS)
    printed = {call[0] for call in shell("make")} | set(re.findall(r"`make ([\w-]+)", text))
    assert {"demo", "test"} <= printed <= targets


@pytest.mark.parametrize(
    ("said", "setting"),
    [
        ("**The inline deadline** is 1.8 s", Policy().inline_deadline == timedelta(seconds=1.8)),
        ("under 5 minutes old", Policy().freshness == timedelta(minutes=5)),
        ("up to 30 minutes", Policy().revalidation_limit == timedelta(minutes=30)),
        ("once more after half an hour", Policy().revalidation_limit == timedelta(minutes=30)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_default_that_is_said_in_words_is_the_default(said: str, setting: bool) -> None:
    assert said in (ROOT / "README.md").read_text()
    assert setting


def test_the_answer_that_is_shown_is_the_one_that_comes() -> None:
    said = lines("console")
    calls = [line.removeprefix("$ assign-core ") for line in said if line.startswith("$ ")]
    assert len(calls) == 1, "teach this test which lines are whose answer"
    result = CliRunner().invoke(cli, shlex.split(calls[0]))
    assert [line.rstrip() for line in result.stdout.splitlines()] == said[1:]


@pytest.mark.parametrize(
    "name", [*DOCUMENTS, "src/adapters/assign_cli/REFERENCE.md", "src/adapters/assign_testing/PROMISES.md"]
)
def test_a_link_leads_somewhere(name: str) -> None:
    document = ROOT / name
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", document.read_text()):
        target = document.parent / path if path else document
        assert target.exists(), path
        if anchor:
            heads = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}, anchor
