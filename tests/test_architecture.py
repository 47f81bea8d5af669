"""The rules of the house (docs/architecture.md), checked on the source."""

import ast
from pathlib import Path

import pytest

import paperworks
from paperworks.catalogue import METHODS

ROOT = Path(paperworks.__file__).parent
ROOMS = [method.name for method in METHODS]
BUILT = [method.name for method in METHODS if method.built]
UPSTAIRS = {"cli", "overview", "catalogue", "reproduce"}


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in ("paperworks", "torch")}


def rooms_in(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names if name.startswith("paperworks.")}


@pytest.mark.parametrize("room", BUILT)
def test_a_room_keeps_the_floor_plan_and_stands_only_on_what_is_below(room):
    for name in ("README.md", "__init__.py", "commands.py", "claims.py"):
        assert (ROOT / room / name).is_file()
    for path in (ROOT / room).rglob("*.py"):
        used = rooms_in(imports(path))
        assert not used & (set(ROOMS) - {room}), f"{path} imports another method"
        assert not used & UPSTAIRS, f"{path} imports upwards"


def test_the_ground_floor_and_the_annex_import_nothing_above_them():
    ground = [path for path in ROOT.glob("*.py") if path.stem not in {*UPSTAIRS, "__main__"}]
    for path in [*ground, *(ROOT / "tiny").rglob("*.py"), *(ROOT / "papers").rglob("*.py")]:
        used = imports(path)
        assert not rooms_in(used) & (set(ROOMS) | UPSTAIRS), f"{path} imports upwards"
        if "papers" in path.parts:
            assert "torch" not in {name.split(".")[0] for name in used}
