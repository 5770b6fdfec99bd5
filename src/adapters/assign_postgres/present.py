"""What a schema has: one look at PostgreSQL's catalogue, each thing with its shape as one text.

Reading needs no right but to connect. ``search_path`` is set to the schema meanwhile, so that definitions come back
without it, the same whatever the schema is called. A function's body is told by its digest, after the host's names in
it have been put back to the default ones; and of one that acts with its owner's rights, what would let others use
them. PostgreSQL 15 to 18 write definitions alike.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, NamedTuple

from sqlalchemy import Connection, text

from assign_postgres.names import quoted


class Thing(NamedTuple):
    """Something in a schema. ``table`` is empty for functions and extensions."""

    kind: str
    table: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.table}.{self.name}" if self.table else f"{self.kind} {self.name}"


Present = Mapping[Thing, str]
"""Everything there is, and its shape."""

_EVERYTHING: Final = r"""
WITH relation AS (
    SELECT oid, relname::text AS name, relkind FROM pg_class
    WHERE relnamespace = to_regnamespace(%(schema)s) AND relkind IN ('r', 'p', 'v', 'm', 'f')
)
SELECT 'table', '', name, CASE relkind
    WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'f' THEN 'foreign table' ELSE 'view' END
FROM relation
UNION ALL
SELECT 'column', relation.name, attname::text,
       format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' not null' ELSE '' END
FROM pg_attribute JOIN relation ON relation.oid = attrelid
WHERE attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'constraint', relation.name, conname::text,
       regexp_replace(pg_get_constraintdef(pg_constraint.oid), ' NOT VALID$', '')
FROM pg_constraint JOIN relation ON relation.oid = conrelid
WHERE contype IN ('c', 'p', 'u', 'x', 'f')
UNION ALL
SELECT 'index', relation.name, called.relname::text,
       regexp_replace(pg_get_indexdef(indexrelid), '^.*? (USING .*)$', '\1')
       || CASE WHEN indisunique THEN ' (unique)' ELSE '' END || CASE WHEN indisvalid THEN '' ELSE ' (invalid)' END
FROM pg_index JOIN relation ON relation.oid = indrelid JOIN pg_class AS called ON called.oid = indexrelid
WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))
UNION ALL
SELECT 'trigger', relation.name, tgname::text,
       'calls ' || tgfoid::regproc || CASE WHEN tgenabled IN ('D', 'R') THEN ', disabled' ELSE '' END
       || ': ' || pg_get_triggerdef(pg_trigger.oid, true)
FROM pg_trigger JOIN relation ON relation.oid = tgrelid
WHERE NOT tgisinternal
UNION ALL
SELECT 'function', '', proname || '(' || pg_get_function_identity_arguments(oid) || ')',
       'returns ' || pg_get_function_result(oid)
       || CASE WHEN prosecdef THEN ' as its owner'
              || CASE WHEN EXISTS (
                          SELECT FROM unnest(proconfig) AS given WHERE given ~ '^search_path=.*, pg_temp$'
                      ) THEN '' ELSE ', by any search_path' END
              || CASE WHEN has_function_privilege('public', oid, 'EXECUTE') THEN ', for everybody' ELSE '' END
          ELSE '' END
       || ', body ' || prosrc
FROM pg_proc
WHERE pronamespace = to_regnamespace(%(schema)s) AND prokind = 'f'
  AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = pg_proc.oid AND deptype = 'e')
UNION ALL
SELECT 'extension', '', extname::text, 'installed' FROM pg_extension"""


def present(connection: Connection, schema: str, words: Mapping[str, str] | None = None) -> Present:
    """What the schema has, within the connection's transaction.

    Args:
        words: default name to the host's identifier, as the migrations were rendered with them.
    """
    path = str(connection.scalar(text("SELECT current_setting('search_path')")))
    _search(connection, quoted(schema))
    rows = connection.exec_driver_sql(_EVERYTHING, {"schema": quoted(schema)})
    found = {Thing(*row[:3]): str(row[3]) for row in rows}
    _search(connection, path)
    return {
        thing: _digested(shape, words or {}) if thing.kind == "function" else shape for thing, shape in found.items()
    }


def _digested(shape: str, words: Mapping[str, str]) -> str:
    returns, said, body = shape.partition(", body ")
    # The longest first: a qualified table's name holds identifiers that may be a column's too.
    for default, name in sorted(words.items(), key=lambda each: -len(each[1])):
        body = body.replace(name, default)
    return returns + said + hashlib.sha256(body.encode()).hexdigest()[:16]


def _search(connection: Connection, path: str) -> None:
    connection.execute(text("SELECT set_config('search_path', :path, true)"), {"path": path})
