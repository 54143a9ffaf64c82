"""The order of the house: who imports whom, and what no file may do."""

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "diffusion_audio"

# A package imports only from layers before its own; those of one layer do not know
# each other.
LAYERS = (
    {"aliases", "errors"},
    {"settings"},
    {"outputs", "progress", "recipe", "rows", "storage"},
    {"audio", "diffusion", "nn"},
    {"models", "report"},
    {"data", "pretrained"},
    {"systems"},
    {"runs"},
    {"training", "generation"},
    {"evaluation"},
    {"study"},
    {"cli"},
    {"__main__"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
# Beyond the order: networks and mathematics meet only in systems, and what a run has
# learned is read without what trained it.
STRANGERS = {("models", "diffusion"), ("evaluation", "training")}

LIBRARY = sorted(PACKAGE.rglob("*.py"))
CONFIGS = sorted((ROOT / "configs").rglob("*.py"))
OURS = LIBRARY + CONFIGS + sorted((ROOT / "tests").rglob("*.py")) + [ROOT / "setup.py"]
LONGEST = 400


def part(path: Path) -> str:
    """The package of the house that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names of the modules that a file imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def misplaced(importer: str, tree: ast.AST) -> list[str]:
    """Imports that go against the order."""
    wrong = []
    for name in imported(tree):
        root, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        if root != "diffusion_audio" or other in ("", "__version__", importer):
            continue
        if RANK[other] >= RANK[importer] or (importer, other) in STRANGERS:
            wrong.append(f"{importer} imports {name}")
    return wrong


def circle(trees: Mapping[str, ast.AST]) -> list[str]:
    """Modules that import each other, one after the other; empty if none do.

    An import within a function counts too: it only hides a circle.
    """
    graph = {
        module: {
            # What is imported is a module, or a name in one.
            name if name in trees else name.rpartition(".")[0]
            for name in imported(tree)
        }
        for module, tree in trees.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def forbidden(tree: ast.AST) -> list[str]:
    """Uses of what runs code found in data, or text as a command."""
    found = [
        name
        for name in imported(tree)
        if name.split(".")[0] in {"pickle", "cloudpickle", "dill", "marshal", "shelve"}
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            options = {
                word.arg
                for word in node.keywords
                if not (isinstance(word.value, ast.Constant) and not word.value.value)
            }
            if call in {"eval", "exec", "torch.load", "yaml.load", "os.system"}:
                found.append(call)
            if call.split(".")[-1] in {"extractall", "unsafe_load"}:
                found.append(call)
            found += sorted(options & {"shell", "allow_pickle", "trust_remote_code"})
    return found


def decoded_here(tree: ast.AST) -> list[str]:
    """Calls that decode files of others in the process itself."""
    names = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        head, dot, rest = ast.unparse(node.func).partition(".")
        called = names.get(head, head) + dot + rest
        opens = called == "diffusion_audio.data.open.open_source"
        if opens and "decode" not in {word.arg for word in node.keywords}:
            found.append(called)
        module, _, function = called.rpartition(".")
        if module == "diffusion_audio.audio.files" and not function.startswith("write"):
            found.append(called)
    return found


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_library_file(path):
    tree = parse(path)
    if path != PACKAGE / "__init__.py":
        assert misplaced(part(path), tree) == []
    assert forbidden(tree) == []
    if part(path) not in ("audio", "data"):
        assert decoded_here(tree) == []
    if part(path) != "cli":  # results go to stdout there
        assert not re.search(r"(?<![\w.])print\(", path.read_text())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_config_imports_only_ml_collections_and_its_like(path):
    roots = {name.split(".")[0] for name in imported(parse(path))}
    assert roots <= {"ml_collections", "configs"}
    assert forbidden(parse(path)) == []


def test_every_package_has_its_place():
    assert {part(path) for path in LIBRARY} - {"__init__"} <= set(RANK)


def test_no_file_sprawls():
    lines = {str(path): len(path.read_text().splitlines()) for path in OURS}
    assert {path: n for path, n in lines.items() if n > LONGEST} == {}


def test_no_module_imports_what_imports_it():
    trees = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(
            ".__init__"
        ): parse(path)
        for path in LIBRARY
    }
    assert circle(trees) == []


def test_a_circle_is_noticed_wherever_its_imports_are():
    trees = {
        "house.a": ast.parse("from house import b"),
        "house.b": ast.parse("def f():\n    from house.c import name"),
        "house.c": ast.parse("import house.a"),
    }
    assert set(circle(trees)) == {"house.a", "house.b", "house.c"}
    assert circle(trees | {"house.c": ast.parse("import os")}) == []


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("diffusion", "from diffusion_audio.nn import functional"),
        ("models", "from diffusion_audio.diffusion import schedule"),
        ("nn", "import diffusion_audio.training.loop"),
        ("data", "def f():\n    from diffusion_audio import training"),
        ("training", "from diffusion_audio.cli.main import main"),
        ("runs", "def f():\n    from diffusion_audio.training import loop"),
        ("generation", "from diffusion_audio.training import run"),
        ("evaluation", "from diffusion_audio.training import run"),
    ],
)
def test_the_order_notices(importer, source):
    assert len(misplaced(importer, ast.parse(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "torch.load(path)",
        "yaml.load(text)",
        "subprocess.run(words, shell=True)",
        "eval(text)",
        "archive.extractall(path)",
        "numpy.load(path, allow_pickle=True)",
        "numpy.load(path, allow_pickle=flag)",
    ],
)
def test_the_gate_notices(source):
    assert len(forbidden(ast.parse(source))) == 1


@pytest.mark.parametrize(
    "call",
    ["read(path, 8000)", "files.blocks(path)", "open_source(name, split)"],
)
def test_what_decodes_in_its_own_process_is_noticed(call):
    source = (
        "from diffusion_audio.audio import files\n"
        "from diffusion_audio.audio.files import read, write\n"
        "from diffusion_audio.data.open import open_source\n"
        "write(path, wave)\ndecode(read, path)\nopen_source(name, decode=decode)\n"
    )
    assert decoded_here(ast.parse(source)) == []
    assert len(decoded_here(ast.parse(source + call))) == 1


def test_the_gate_lets_ordinary_code_pass():
    source = "numpy.load(path, allow_pickle=False); jax.eval_shape(f); json.load(file)"
    assert forbidden(ast.parse(source)) == []


BLOCKED = ("tensorflow", "tensorflow_datasets", "tfds", "librosa", "soundfile", "torch")
IMPORT_BLOCKED = f"""
import importlib, pkgutil, sys
import diffusion_audio.audio.griffin_lim, diffusion_audio.audio.mel
import diffusion_audio.evaluation.metrics

assert not {{"librosa", "soundfile", "soxr", "scipy"}} & set(sys.modules)

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Absent())
import diffusion_audio
for name in ("diffusion", "nn", "models", "systems", "training"):
    package = importlib.import_module(f"diffusion_audio.{{name}}")
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(info.name)
"""


def test_mathematics_networks_and_training_need_no_audio_or_data_library():
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_BLOCKED],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr


# Each takes tenths of a second to import, PyTorch seconds, and none is needed.
HEAVY = {
    *("torch", "tensorboardX", "matplotlib", "scipy", "librosa"),
    *("grain", "tensorflow_datasets", "tensorflow", "transformers"),
}
READY_TO_GENERATE = f"""
import sys
from diffusion_audio import generation
print({HEAVY} & set(sys.modules))
"""


def test_what_generates_loads_nothing_heavy_that_it_does_not_need():
    done = subprocess.run(
        [sys.executable, "-c", READY_TO_GENERATE],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stdout == "set()\n", done.stderr
