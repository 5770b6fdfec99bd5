"""The published JSON Schema of the blob (draft 2020-12), for readers and writers in other languages.

It describes what :func:`~assign_wire.codec.dumps` writes. Blobs of older writers are read too, and they lack keys that
the schema requires; keys that it does not name are allowed, because a newer writer may add some.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Final, cast

from assign_wire.shape import JSON

_FILE: Final = "last_result.schema.json"


def schema() -> dict[str, JSON]:
    """The JSON Schema as a new dict, from the file ``last_result.schema.json`` in this package."""
    return cast("dict[str, JSON]", json.loads(files("assign_wire").joinpath(_FILE).read_text(encoding="utf-8")))
