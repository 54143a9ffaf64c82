"""What makes a run the same run: its config and the code that decides its numbers."""

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import diffusion_audio

PACKAGE = Path(diffusion_audio.__file__).parent
# Display, messages and records: they change no number.
SILENT = ("errors", "training.progress", "training.metric_log", "training.session")


def identity(content: Mapping[str, Any], *modules: str) -> str:
    """Short hash of JSON values and of the code that makes numbers of them.

    Args:
        content: what was asked for.
        modules: names within the package, such as ``"training.run"``; they stand for
            all that they import, directly or not.
    """
    text = json.dumps(content, sort_keys=True) + code_hash(*modules)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def code_hash(*modules: str) -> str:
    """Short hash of modules and of all that they import of this package.

    Comments, docstrings and layout do not count.
    """
    names = sorted(closure(*modules) - set(SILENT))
    digest = hashlib.sha256()
    for name in names:
        tree = ast.parse(_file(name).read_bytes())
        digest.update(f"{name}\n{ast.unparse(_without_prose(tree))}\n".encode())
    return digest.hexdigest()[:12]


def closure(*modules: str) -> set[str]:
    """Names of modules and of all that they import of this package."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _imports(name)
    return found


@cache
def _imports(name: str) -> tuple[str, ...]:
    return tuple(_named(ast.parse(_file(name).read_bytes())))


def _named(tree: ast.AST) -> Iterator[str]:
    """Modules of this package that a file imports, wherever in it."""
    prefix = f"{PACKAGE.name}."
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            full.append(node.module)
        elif isinstance(node, ast.Import):
            full = [alias.name for alias in node.names]
        else:
            continue
        for item in full:
            name = item.removeprefix(prefix)
            if item.startswith(prefix) and _file(name).is_file():
                yield name


def _file(name: str) -> Path:
    path = PACKAGE.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _without_prose(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            body[0] = ast.Pass()
    return tree


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
