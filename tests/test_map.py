"""The tests stand where their map says, and share what they share in ``conftest.py`` and helpers."""

import ast
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

TESTS = Path(__file__).parent
ROOMS = sorted(path for path in TESTS.rglob("*") if path.is_dir() and any(path.glob("*.py")))
MODULES = sorted(TESTS.rglob("*.py"))
_IMPORT = re.compile(r"^\s*(?:from|import) (fair_dagster(?:\.\w+)*)", re.MULTILINE)


@cache
def imports(path: Path) -> list[tuple[str, list[str]]]:
    """What a module imports from the tests, wherever it does: the module, and the names."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    found = [(node.module or "", [alias.name for alias in node.names]) for node in nodes]
    return [one for one in found if one[0].startswith("tests.")]


def test_nothing_is_imported_from_a_test_module() -> None:
    """What is shared stands in ``conftest.py`` or in a helper."""
    found = [(str(path), module) for path in MODULES for module, _ in imports(path)]
    assert [one for one in found if one[1].rpartition(".")[2].startswith("test_")] == []


def test_nothing_is_imported_from_the_conftest_of_another_room() -> None:
    found = []
    for path in MODULES:
        rooms = ["tests", *path.relative_to(TESTS).parts[:-1]]
        for module, names in imports(path):
            *room, last = module.split(".")
            if last == "conftest" and rooms[: len(room)] != room:
                found.append((str(path), module, names))
    assert found == []


def test_a_room_has_at_most_fifteen_files() -> None:
    counts = {str(room): len([path for path in room.glob("*.py") if path.name != "__init__.py"]) for room in ROOMS}
    assert {room: count for room, count in counts.items() if count > 15} == {}


def test_every_room_is_on_the_map() -> None:
    text = (TESTS / "README.md").read_text()
    top = {path.relative_to(TESTS).parts[0] for path in ROOMS if path != TESTS}
    assert sorted(name for name in top if f"`{name}/" not in text) == []


def test_programs_that_tests_start_import_modules_that_there_are() -> None:
    """They are text, which no tool renames with a module."""
    named = {(path, name) for path in MODULES for name in _IMPORT.findall(path.read_text())}
    assert sorted(f"{path.name}: {name}" for path, name in named if find_spec(name) is None) == []
