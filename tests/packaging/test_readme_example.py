"""The README's examples that need no database run as they stand."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest

from assign_core import AutoAssign
from assign_memory import memory_ports

README = Path(__file__).parents[2] / "README.md"


def test_the_readmes_examples_run(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    examples = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert examples
    names: dict[str, Any] = {}
    for example in examples:
        exec(compile(example, str(README), "exec"), names)  # noqa: S102 - our own documentation, run as a reader would
    assert "confirmed" in capsys.readouterr().out

    caplog.set_level(logging.INFO, "assign")
    ports = memory_ports(names["database"])
    engine = AutoAssign(
        runtime=names["runtime"],
        store=ports["store"],
        planner=ports["planner"],
        mailer=ports["mailer"],
        telemetry=names["LogTelemetry"](),
    )
    names["database"].add_booking("b2", party=2, start_at=names["tonight"])
    engine.inline("b2")
    assert "inline_auto_assign.succeeded b2" in caplog.text
    assert "EventName" not in caplog.text
