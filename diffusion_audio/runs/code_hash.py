"""A hash of source text: where it is the same, so is what the code computes.

Where it differs, code may still compute the same; `study.fingerprint` tells.
"""

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import diffusion_audio
from diffusion_audio.runs.workdir import provenance
from diffusion_audio.systems import outside

PACKAGE = Path(diffusion_audio.__file__).parent


def short_hash(text: str) -> str:
    """Enough of a SHA-256 sum to tell texts apart."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def json_hash(value: Any) -> str:
    """`short_hash` of JSON values; the order of an object's names does not count."""
    return short_hash(json.dumps(value, sort_keys=True))


@cache
def code_hash(*modules: str) -> str:
    """Short hash of modules, of all that they import, and of the libraries' versions.

    Comments, docstrings and layout do not count. Files of parts outside of the package
    that were read (`systems.outside`) count whole.

    Args:
        modules: names within the package, such as ``"training.run"``; they stand for
            all that they import of it, directly or not.
    """
    texts = [str(sorted(provenance()["packages"].items()))]
    texts += [str(sorted(outside.record().items()))]
    texts += [f"{name}\n{_read(name).text}" for name in sorted(closure(*modules))]
    return short_hash("\n".join(texts))


def closure(*modules: str) -> set[str]:
    """Names of modules and of all that they import of this package."""
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _read(name).imports
    return found


class _Module(NamedTuple):
    """A file: its code without prose, and the modules of this package it imports."""

    text: str
    imports: tuple[str, ...]


@cache
def _read(name: str) -> _Module:
    tree = ast.parse(_file(name).read_bytes())
    entries = _entries(name) if "TABLE" in _assigned(tree) else ()
    return _Module(ast.unparse(_without_prose(tree)), (*_named(tree), *entries))


def _assigned(tree: ast.Module) -> set[str]:
    """Names that a module gives values of a stated type."""
    return {
        ast.unparse(node.target)
        for node in tree.body
        if isinstance(node, ast.AnnAssign)
    }


def _entries(package: str) -> tuple[str, ...]:
    """The modules of a package whose table finds them by their names."""
    paths = sorted(_file(package).parent.glob("*.py"))
    return tuple(f"{package}.{path.stem}" for path in paths if path.stem != "__init__")


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
