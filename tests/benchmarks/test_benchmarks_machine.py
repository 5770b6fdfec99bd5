"""Where figures come from: a processor and a kind of system, and nothing that names one machine."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest
from benchmarks.machine import RESULTS, machine


def test_the_kernel_of_one_machine_is_not_named() -> None:
    assert platform.release() not in json.dumps(machine())


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(RESULTS.glob("*.json")) if "machine" in path.read_text()],
    ids=lambda path: path.stem,
)
def test_kept_figures_name_a_system_and_an_architecture(path: Path) -> None:
    kept = json.loads(path.read_text())
    for where in kept["machines"].values() if "machines" in kept else [kept["machine"]]:
        system, architecture = where["system"].split()
        assert not any(sign.isdigit() for sign in system)
        assert "-" not in architecture
