"""One Python file that needs no paperworks: a script with the functions that it imports from here written into it.

The exported scorers are thus the library's own source and cannot drift from it. Only what the script reaches is taken,
comments included. Some harnesses execute such a file without registering it as a module, and a dataclass with
postponed annotations needs its module; so annotations that name a class of the file are put in quotes instead.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "paperworks"


@dataclass
class _Piece:
    """A statement at the top of a module: its lines, the names that it defines, and those that it needs."""

    lines: tuple[int, int]
    defines: set[str]
    needs: set[str]
    kept: bool = False


class _Module:
    def __init__(self, path: Path) -> None:
        self.text = path.read_text("utf-8")
        self.lines = self.text.splitlines(keepends=True)
        self.tree = ast.parse(self.text)
        self.imports: dict[str, str] = {}
        self.own: dict[str, tuple[str, str]] = {}
        self.pieces: list[_Piece] = []
        previous = 0
        for node in self.tree.body:
            end = node.end_lineno or node.lineno
            if isinstance(node, ast.Import | ast.ImportFrom):
                self._take_import(node)
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                if self.pieces:  # the words below a constant
                    self.pieces[-1].lines = self.pieces[-1].lines[0], end
            elif "__all__" not in (defines := _defined(node)):
                self.pieces.append(_Piece((self._first_line(node, previous), end), defines, _needed(node)))
            previous = end

    def _first_line(self, node: ast.stmt, previous: int) -> int:
        """The first line of a statement with its decorators and the comments right above it, counted from 1."""
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        while first - 1 > previous and self.lines[first - 2].lstrip().startswith("#"):
            first -= 1
        return first

    def _take_import(self, node: ast.Import | ast.ImportFrom) -> None:
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        if module == "__future__":
            return
        for alias in node.names:
            spelled = alias.name + (f" as {alias.asname}" if alias.asname else "")
            if module.split(".")[0] == PACKAGE:
                if alias.asname or isinstance(node, ast.Import):
                    raise ValueError(
                        f"{spelled}: a name that is to be written into a file is imported as it is"
                    )
                self.own[alias.name] = module, alias.name
            else:
                line = f"from {module} import {spelled}" if module else f"import {spelled}"
                self.imports[(alias.asname or alias.name).split(".")[0]] = line


def standalone(path: Path, head: str = "") -> str:
    """The script at `path` with what it imports from this package written into it; `head` goes below its docstring."""
    modules: dict[str, _Module] = {}

    def reach(module: _Module, names: Iterable[str]) -> None:
        for name in names:
            if name in module.own:
                source, there = module.own[name]
                if source not in modules:
                    modules[source] = _Module(_file_of(source))
                reach(modules[source], [there])
                continue
            for piece in module.pieces:
                if name in piece.defines and not piece.kept:
                    piece.kept = True
                    reach(module, sorted(piece.needs))

    script = _Module(path)
    for piece in script.pieces:
        piece.kept = True
        reach(script, sorted(piece.needs))
    order = _in_order(script, modules)
    parts = [modules[name] for name in order]
    rename = _renamed(script, parts, order)
    imports = {
        line
        for module in (*parts, script)
        for name, line in module.imports.items()
        if any(name in piece.needs for piece in module.pieces if piece.kept)
    }
    classes = {
        node.name
        for module in (*parts, script)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    }
    body = [
        _quoted(_text(module, rename.get(place, {})), classes)
        for place, module in enumerate((*parts, script))
    ]
    docstring = ast.get_docstring(script.tree) or ""
    top = [f'"""{docstring}\n"""' if "\n" in docstring else f'"""{docstring}"""']
    top += [head.rstrip()] * bool(head) + ["\n".join(sorted(imports, key=_import_order))]
    return "\n\n".join(top) + "".join(f"\n\n\n{part.strip()}" for part in body) + "\n"


def _in_order(module: _Module, modules: dict[str, _Module]) -> list[str]:
    """The names of the modules, each after those that it imports."""
    found: list[str] = []
    for source, _ in module.own.values():
        if source in modules:
            found += [*_in_order(modules[source], modules), source]
    return list(dict.fromkeys(found))


def _file_of(module: str) -> Path:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"{module} has no source file")
    return Path(spec.origin)


def _renamed(script: _Module, parts: list[_Module], order: list[str]) -> dict[int, dict[str, str]]:
    """New names where two modules define the same private one, by the module's place."""
    taken = {name for piece in script.pieces for name in piece.defines}
    renamed: dict[int, dict[str, str]] = {}
    for place in reversed(range(len(parts))):
        names = {name for piece in parts[place].pieces if piece.kept for name in piece.defines}
        for name in sorted(names & taken):
            if not name.startswith("_"):
                raise ValueError(f"{name} is defined in two of the files that are put together; rename one")
            renamed.setdefault(place, {})[name] = f"_{order[place].rsplit('.', 1)[1]}{name}"
        taken |= names
    return renamed


def _text(module: _Module, rename: dict[str, str]) -> str:
    text = ""
    for first, last in (piece.lines for piece in module.pieces if piece.kept):
        blank = 0
        while first - blank > 1 and not module.lines[first - blank - 2].strip():
            blank += 1
        text += "\n" * blank + "".join(module.lines[first - 1 : last])
    for name, new in rename.items():
        text = re.sub(rf"(?<![\w.]){name}(?!\w)", new, text)
    return text


def _quoted(text: str, classes: set[str]) -> str:
    """Annotations of functions that name a class of the file, in quotes."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
            annotations = [argument.annotation for argument in arguments] + [node.returns]
            found += [one for one in annotations if one is not None and _names(one) & classes]
    lines = text.splitlines()
    for node in sorted(found, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        row, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        before, after = (
            lines[row].encode()[: node.col_offset],
            lines[last].encode()[node.end_col_offset or 0 :],
        )
        lines[row : last + 1] = [f'{before.decode()}"{ast.unparse(node)}"{after.decode()}']
    return "\n".join(lines) + "\n"


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _needed(node: ast.stmt) -> set[str]:
    return _names(node) - set(dir(builtins))


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {name for target in targets if target is not None for name in _names(target)}


def _import_order(line: str) -> tuple[bool, str]:
    return line.startswith("from"), line
