"""Libraries that are measured beside ours. They are of the extra ``micro``, and of nothing else in this project.

They are imported by name when a measurement begins, so that this code is checked and linted where they are missing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

DISTRIBUTIONS: Final = ("zen-engine", "cedarpy", "casbin", "tenacity", "stamina", "pydantic", "msgspec")


def library(name: str) -> Any:
    """The module, as it is found.

    Raises:
        SystemExit: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as missing:
        sys.exit(f"{missing.name} is not installed; pip install 'assign-core[micro]'")


def versions() -> dict[str, str]:
    """Of everything that is measured."""
    return {name: version(name) for name in ("assign-core", *DISTRIBUTIONS)}
