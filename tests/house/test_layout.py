"""The layout that makes seven rooms one installable package, and who may import whom."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
FLOORS = {"core": 0, "schemas": 1, "producers": 2, "processors": 2, "sinks": 2, "gateway": 3, "operations": 4}
ROOMS = tuple(FLOORS)
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70


def modules(room: str) -> list[Path]:
    return sorted((REPO / room / "tradewire" / room).rglob("*.py"))


def imported_rooms(file: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(file.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [f"tradewire.{alias.name}" for alias in node.names] if node.module == "tradewire" else [node.module]
        for name in names:
            parts = name.split(".")
            if parts[0] == "tradewire" and len(parts) > 1:
                yield node.lineno, parts[1]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_floors_below(room: str) -> None:
    """Producers, processors and sinks meet in Kafka, never in an import."""
    wrong = [
        f"{file.relative_to(REPO)}:{line} imports tradewire.{other}"
        for file in modules(room)
        for line, other in imported_rooms(file)
        if other != room and FLOORS[other] >= FLOORS[room]
    ]

    assert [] == wrong


def test_no_init_file_hides_the_other_rooms() -> None:
    """An ``X/tradewire/__init__.py`` would end the namespace in editable installs while wheels keep working."""
    assert [] == [str(file) for room in ROOMS for file in (REPO / room / "tradewire").glob("__init__.py")]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_typed_and_says_what_it_offers(room: str) -> None:
    """Each room ships py.typed and a sorted __all__ of names that exist."""
    package = REPO / room / "tradewire" / room
    assert (package / "py.typed").is_file()
    module = importlib.import_module(f"tradewire.{room}")

    names = list(module.__all__)
    assert sorted(names, key=_export_order) == names
    assert [] == [name for name in names if not hasattr(module, name)]


def _export_order(name: str) -> tuple[int, str]:
    # The order of ruff's RUF022: constants, then classes, then functions.
    if name.isupper():
        return 0, name
    return (1, name) if name[0].isupper() else (2, name)


def test_modules_and_functions_stay_small() -> None:
    """A module past 400 lines or a function past 70 is asking to be split."""
    large: list[str] = []
    for room in ROOMS:
        for file in modules(room):
            source = file.read_text()
            if source.count("\n") > MODULE_LINES_MAX:
                large.append(f"{file.relative_to(REPO)}: {source.count(chr(10))} lines")
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    if lines > FUNCTION_LINES_MAX:
                        large.append(f"{file.relative_to(REPO)}:{node.lineno} {node.name}: {lines} lines")

    assert [] == large


BANNED = {"AIOProducer": "refuses headers", "produce_batch": "drops headers silently"}


def test_clients_that_lose_headers_are_not_used() -> None:
    """confluent-kafka's own asyncio producer and batch call would lose the envelope."""
    used = [
        f"{file.relative_to(REPO)}:{node.lineno} uses {name}: {BANNED[name]}"
        for room in ROOMS
        for file in modules(room)
        for node in ast.walk(ast.parse(file.read_text()))
        for name in [getattr(node, "attr", getattr(node, "id", None))]
        if name in BANNED
    ]

    assert [] == used
