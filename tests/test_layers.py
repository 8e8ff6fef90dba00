"""The house's rules that a machine can keep: who imports whom, no room called utils, no torch before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "yanmo"
LAYERS = [
    {"__main__"},
    {"cli"},
    {"commands"},
    {"demo", "serve", "report", "export", "evaluate"},
    {"train", "data"},
    {"tokenizer"},
    {"model", "text", "core"},
]
RANK = {room: rank for rank, layer in enumerate(LAYERS) for room in layer}
"""Rooms of one layer do not know each other, but all may use core, which knows nothing of language models."""


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: write imports in full"
            yield node.module


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else "yanmo"


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_only_go_to_the_right(path: Path) -> None:
    relative = path.relative_to(SOURCE)
    here = relative.parts[0].removesuffix(".py")
    for module in imports(path):
        if not module.startswith("yanmo."):
            continue
        there = room(module)
        if here in ("__init__", there):
            continue
        assert there in RANK, f"{relative} imports {module}, a room without a place in the order"
        allowed = RANK[there] > RANK[here] or there == "core"
        assert allowed, f"{relative} imports {module}: not to the right of {here}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_file_opens_with_what_it_holds(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert not source.strip() or ast.get_docstring(ast.parse(source)), f"{path} has no docstring"


def test_there_is_no_utils() -> None:
    assert not [path for path in FILES if "util" in path.stem or "helper" in path.stem or "misc" in path.stem]


def test_text_and_tokenizer_never_import_torch() -> None:
    for path in FILES:
        if path.relative_to(SOURCE).parts[0] in ("text", "tokenizer"):
            assert not [module for module in imports(path) if module.split(".")[0] == "torch"], path


def test_data_is_never_evaluated_or_unpickled() -> None:
    """No eval, exec or pickle anywhere; torch.load does not appear at all (weights are safetensors)."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec"), f"{path}:{node.lineno}"
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                assert (node.value.id, node.attr) != ("torch", "load"), f"{path}:{node.lineno}"
        assert not {"pickle", "dill", "joblib"} & set(imports(path)), path


def test_help_of_every_command_loads_no_torch() -> None:
    program = (
        "import sys; from yanmo.cli import COMMANDS, run\n"
        "for name in COMMANDS: assert run([name, '--help']) == 0, name\n"
        "assert 'torch' not in sys.modules, 'torch was imported for --help'"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
