"""The Python standard library's own source as text: some ten thousand documents that every CPython has.

A document is a function or method with its docstring, or the docstring of a module or class. Documents of one package
speak about the same things, which makes the package a natural class of relevance.
"""

from __future__ import annotations

import ast
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from paperworks.errors import InputError

# Tests, installed packages, applications, and modules that are tables rather than text.
LEFT_OUT = {
    "__pycache__",
    "dist-packages",
    "encodings",
    "idlelib",
    "lib-dynload",
    "lib2to3",
    "pydoc_data",
    "site-packages",
    "test",
    "tests",
    "turtledemo",
}


@dataclass(frozen=True)
class Document:
    """A piece of source: `module` "email.message", `package` "email", `name` "Message.as_string", `text`."""

    module: str
    package: str
    name: str
    text: str


def load_source(
    folder: str | Path | None = None, *, at_most: int | None = None, characters: tuple[int, int] = (100, 1500)
) -> list[Document]:
    """The documents of the standard library, or of another `folder` of Python source, by path and line.

    Documents shorter than `characters[0]` are left out, longer ones than `characters[1]` are cut, and of texts that
    are equal up to white space the first is kept. Of more than `at_most` documents every so many-th is taken. Raises
    `InputError` where there is no source.
    """
    root = Path(folder or sysconfig.get_paths()["stdlib"])
    shortest, longest = characters
    distinct: dict[str, Document] = {}
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).parts):
        parts = path.relative_to(root).with_suffix("").parts
        if LEFT_OUT.isdisjoint(parts) and not any(part.startswith("config-") for part in parts):
            module = ".".join(parts).removesuffix(".__init__")
            for name, text in _pieces(path):
                if len(text) >= shortest:
                    cut = text[:longest]
                    distinct.setdefault(" ".join(cut.split()), Document(module, parts[0], name, cut))
    documents = list(distinct.values())
    if not documents:
        raise InputError(f"no Python source in {root}: this Python came without its library's source")
    if at_most is not None and len(documents) > at_most:
        documents = [documents[i * len(documents) // at_most] for i in range(at_most)]
    return documents


def _pieces(path: Path) -> Iterator[tuple[str, str]]:
    try:
        source = path.read_text(encoding="utf-8")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, UnicodeDecodeError):
        return
    lines = source.splitlines()

    def walk(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, str]]:
        docstring = ast.get_docstring(node)
        if docstring:
            yield prefix or "module", docstring
        for child in node.body:
            if isinstance(child, ast.ClassDef):
                yield from walk(child, f"{prefix}.{child.name}".lstrip("."))
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                text = "\n".join(lines[child.lineno - 1 : child.end_lineno])
                yield f"{prefix}.{child.name}".lstrip("."), text

    yield from walk(tree, "")
