"""The core computes from what it is given: no clock, no randomness, no I/O, nothing remembered between calls."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import assign_core

MODULES: Final = sorted(Path(assign_core.__file__).parent.glob("**/*.py"))

ALLOWED: Final = frozenset(
    {
        "__future__",
        "collections",
        "collections.abc",
        "contextlib",
        "dataclasses",
        "datetime",
        "enum",
        "functools",
        "itertools",
        "math",
        "re",
        "types",
        "typing",
        "zlib",
    }
)
"""What the core may import beside itself. Each is pure; a new one is a decision, not an accident."""

FORBIDDEN_NAMES: Final = frozenset({"open", "print", "input", "exec", "eval", "compile", "__import__", "globals"})
FORBIDDEN_ATTRIBUTES: Final = frozenset({"now", "utcnow", "today", "fromtimestamp"})
IMMUTABLE_CALLS: Final = frozenset({"frozenset", "tuple", "MappingProxyType", "TypeVar", "timedelta", "Strategy"})


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@pytest.fixture(params=MODULES, ids=[path.name for path in MODULES])
def module(request: pytest.FixtureRequest) -> ast.Module:
    path: Path = request.param
    return _tree(path)


def test_the_modules_were_found() -> None:
    assert {"decision.py", "reasons.py", "last_result.py", "policy.py", "events.py"} <= {path.name for path in MODULES}


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module is not None
            yield node.module


def test_the_core_imports_a_few_pure_modules_and_itself(module: ast.Module) -> None:
    foreign = {name for name in _imported(module) if name != "assign_core" and not name.startswith("assign_core.")}
    assert foreign <= ALLOWED
    assert all(name.split(".")[0] in sys.stdlib_module_names for name in foreign)


def test_imports_stand_at_the_top(module: ast.Module) -> None:
    inside = [
        node.lineno
        for scope in ast.walk(module)
        if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(scope)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not inside


def test_nothing_reads_a_clock_or_touches_the_world(module: ast.Module) -> None:
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert not (node.value.id in {"datetime", "date"} and node.attr in FORBIDDEN_ATTRIBUTES), node.lineno
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_NAMES, node.lineno


def test_nothing_is_remembered_between_calls(module: ast.Module) -> None:
    for node in ast.walk(module):
        assert not isinstance(node, ast.Global), node.lineno
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = {ast.unparse(decorator).split("(")[0] for decorator in node.decorator_list}
            assert not names & {"cache", "lru_cache", "cached_property", "functools.cache"}, node.lineno


def _bound_at_top(tree: ast.Module) -> Iterator[tuple[str, ast.expr, bool]]:
    """Names bound by a module's own statements: the name, the value, and whether it is declared ``Final``."""
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and node.value is not None and isinstance(node.target, ast.Name):
            yield node.target.id, node.value, ast.unparse(node.annotation).startswith("Final")
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                assert isinstance(target, ast.Name), ast.unparse(node)
                yield target.id, node.value, False


def _mutable(value: ast.expr) -> bool:
    if isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp):
        return True
    return isinstance(value, ast.Call) and not (isinstance(value.func, ast.Name) and value.func.id in IMMUTABLE_CALLS)


def test_what_a_module_binds_is_final_or_cannot_change(module: ast.Module) -> None:
    loose = [
        name for name, value, final in _bound_at_top(module) if not final and name != "__all__" and _mutable(value)
    ]
    assert not loose


MUTATORS: Final = frozenset(
    {
        "append",
        "extend",
        "insert",
        "add",
        "update",
        "setdefault",
        "pop",
        "popitem",
        "clear",
        "remove",
        "discard",
        "sort",
    }
)


def test_no_function_changes_what_its_module_binds(module: ast.Module) -> None:
    bound = {name for name, _, _ in _bound_at_top(module)}
    for node in ast.walk(module):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.AugAssign):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            assert not (isinstance(node.func.value, ast.Name) and node.func.value.id in bound), node.lineno
        for target in targets:
            if isinstance(target, ast.Subscript | ast.Attribute) and isinstance(target.value, ast.Name):
                assert target.value.id not in bound, target.lineno


def test_the_core_starts_no_threads_and_knows_no_event_loop() -> None:
    words = {name.split(".")[0] for path in MODULES for name in _imported(_tree(path))}
    assert not words & {"asyncio", "threading", "concurrent", "multiprocessing", "time", "random", "secrets", "uuid"}
    assert not words & {"os", "io", "socket", "pathlib", "logging", "subprocess", "signal"}
