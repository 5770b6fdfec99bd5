"""The migration files, found and rendered.

They are shipped inside the package; in a checkout they are read from the repository's own folder. With default names
a file is executed as it stands. A host that calls its things otherwise gets them put in: a file that touches the
host's table declares the words that are the host's, in a line of its own,

    -- Names of the host: bookings, revision

and those words are replaced by quoted identifiers wherever they stand as words of SQL, in the bodies of functions too,
never inside a string, a comment or a quoted identifier. Our own tables follow ``search_path``, which is the host's
schema.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Final

from attrs import fields, frozen

from assign_core.errors import InvalidValue
from assign_postgres.names import TABLES, Names, quoted

HOST: Final = "host"
REFERENCE: Final = "reference"
GROUPS: Final = (HOST, REFERENCE)

_FILE: Final = re.compile(r"\d{14}_\w+\.sql")
_DECLARATION: Final = re.compile(r"^-- Names of the host: (.+)$", re.MULTILINE)
_TOKEN: Final = re.compile(
    r"""--[^\n]*             # comments
    | /\*.*?\*/
    | '(?:[^']|'')*'         # strings
    | \$(?P<tag>\w*)\$(?P<body>.*?)\$(?P=tag)\$  # function bodies
    | "(?:[^"]|"")*"         # quoted identifiers
    | \w+
    """,
    re.VERBOSE | re.DOTALL,
)


@frozen
class MigrationFile:
    """One step.

    Attributes:
        group: ``host`` or ``reference``.
        file: its name in the group's folder, which begins with its time stamp.
        text: its SQL, as it is executed.
    """

    group: str
    file: str
    text: str

    @property
    def name(self) -> str:
        """What the ledger and every message call it."""
        return f"{self.group}/{self.file}"

    @property
    def checksum(self) -> str:
        """SHA-256 of what is executed, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def touches_bookings(self) -> bool:
        """Whether it changes the host's table."""
        return _DECLARATION.search(self.text) is not None


def migration_files(groups: Iterable[str] = (HOST,), names: Names | None = None) -> list[MigrationFile]:
    """The files of these groups, rendered with these names, in the order of their time stamps across the groups.

    The reference group includes the host group.

    Raises:
        InvalidValue: no groups, an unknown one, or names that the reference group cannot have.
    """
    chosen = _chosen(groups)
    called = Names() if names is None else names
    if REFERENCE in chosen:
        _plain(called)
    words = replacements(called)
    found = [
        MigrationFile(group, entry.name, _rendered(entry.read_text("utf-8"), words))
        for group in chosen
        for entry in (_folder() / group).iterdir()
        if _FILE.fullmatch(entry.name)
    ]
    return sorted(found, key=lambda each: (each.file, each.group))


def _chosen(groups: Iterable[str]) -> list[str]:
    asked = [groups] if isinstance(groups, str) else list(groups)
    for group in asked:
        if group not in GROUPS:
            raise InvalidValue(f"there is no group of migrations {group!r}; the groups are {', '.join(GROUPS)}")
    if not asked:
        raise InvalidValue(f"no group of migrations was named; name one or both of {', '.join(GROUPS)}")
    # The reference schema stands on what the host group makes.
    return list(GROUPS) if REFERENCE in asked else [HOST]


def _plain(names: Names) -> None:
    """The reference schema *is* its names; only where it stands can be chosen."""
    for attribute in fields(Names):
        given = getattr(names, attribute.name)
        if attribute.name != "schema" and given != attribute.default:
            raise InvalidValue(
                f"the reference schema calls it {attribute.default!r}, not {given!r}; "
                "leave the name out, or use the host group alone with tables of your own"
            )


def _folder() -> Path:
    shipped = resources.files("assign_postgres") / "migrations"
    if isinstance(shipped, Path) and (shipped / HOST).is_dir():
        return shipped
    checkout = Path(__file__).parents[3] / "migrations"
    if (checkout / HOST).is_dir():
        return checkout
    raise InvalidValue("the migration files are not where assign_postgres was installed; install assign-core again")


def replacements(names: Names) -> Mapping[str, str]:
    """Word to identifier, for the names that differ from their defaults."""
    return {
        # Tables qualified: one called pg_class would else be looked for among the system's own.
        str(attribute.default): names.sql(f"{{{attribute.name}}}")
        if attribute.name in TABLES
        else quoted(getattr(names, attribute.name))
        for attribute in fields(Names)
        if attribute.name != "schema" and getattr(names, attribute.name) != attribute.default
    }


def _rendered(text: str, words: Mapping[str, str]) -> str:
    declared = {word.strip() for found in _DECLARATION.findall(text) for word in found.split(",")}
    wanted = {word: name for word, name in words.items() if word in declared}
    return _replaced(text, wanted) if wanted else text


def _replaced(text: str, wanted: Mapping[str, str]) -> str:
    def one(token: re.Match[str]) -> str:
        if token["body"] is None:
            return wanted.get(token[0], token[0])
        body, tag = _replaced(token["body"], wanted), token["tag"]
        while f"${tag}$" in body:  # a name may hold what would end the body
            tag += "x"
        return f"${tag}${body}${tag}$"

    return _TOKEN.sub(one, text)


def with_frame(file: MigrationFile, names: Names) -> str:
    """A file for people to run by themselves: one transaction, in the host's schema."""
    body = file.text if file.text.endswith("\n") else file.text + "\n"
    return f"-- {file.name}\nBEGIN;\nSET LOCAL search_path = {quoted(names.schema)};\n\n{body}\nCOMMIT;\n"
