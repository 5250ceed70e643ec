"""The public face: every name imports, and every command of the command line has a name in it."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import hybrid
from tests.test_cli_options import COMMANDS

ROOT = Path(hybrid.__file__).parent

VERBS = {
    "build": "build_index",
    "rebuild": "rebuild_branches",
    "verify": "verify_index",
    "verify --repair": "mend_index",
    "compact": "compact_index",
    "add": "Index.add",
    "delete": "Index.delete",
    "info": "Index.info",
    "estimate": "estimate",
    "search": "Index.search",
    "explain": "Index.explain",
    "snapshot": "snapshot_index",
    "restore": "restore_index",
    "push": "push_index",
    "pull": "pull_index",
    "export": "export_index",
    "models list": "list_models",
    "models show": "model_card",
    "models fetch": "fetch_model",
    "models export": "export_model",
    "evaluate": "evaluate_systems",
    "compare": "compare_runs",
    "fuse": "fuse_runs",
    "tune": "tune_index",
    "tune --domains": "tune_indexes",
    "train": "train",
    "replay": "replay",
    "report": "write_report",
    "plot": "write_plots",
}
EXEMPT = {"doctor", "demo", "serve", "mcp", "cache"}
"""What is for people at a terminal, or a server that a program does not call."""


@pytest.mark.parametrize("name", hybrid.__all__)
def test_every_public_name_imports(name: str) -> None:
    assert getattr(hybrid, name) is not None


def test_every_command_has_a_name_in_python() -> None:
    named = {command.partition(" --")[0] for command in VERBS}
    assert {each for each in COMMANDS if each.split()[0] not in EXEMPT} == named
    for verb in VERBS.values():
        owner, _, method = verb.partition(".")
        assert owner in hybrid.__all__
        assert callable(
            getattr(getattr(hybrid, owner), method) if method else getattr(hybrid, owner)
        )


def test_what_type_checkers_see_is_what_is_loaded() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    seen = {
        alias.asname: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {**hybrid._HOMES, "open": "hybrid.search.index"}


def test_names_are_those_of_their_modules() -> None:
    for name in hybrid._HOMES:
        if callable(getattr(hybrid, name)):
            assert getattr(hybrid, name).__name__ == name


@pytest.mark.parametrize("name", [*hybrid.__all__, "Index"])
def test_a_name_is_the_same_whatever_was_loaded_before(name: str) -> None:
    assert getattr(hybrid, name) is getattr(hybrid, name)
    assert not isinstance(getattr(hybrid, name), type(hybrid))


def test_no_other_name() -> None:
    assert dir(hybrid) == sorted(hybrid.__all__)
    with pytest.raises(AttributeError, match="best_passages"):
        hybrid.best_passages  # noqa: B018


def test_the_public_face_loads_no_torch() -> None:
    code = "import hybrid, sys\nfor name in hybrid.__all__:\n  if name != 'train':\n"
    code += "    getattr(hybrid, name)\nprint(*{'torch', 'faiss'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("package", ["evaluate", "fusion", "training", "tune"])
def test_what_type_checkers_see_of_a_package_is_what_it_loads(package: str) -> None:
    door = importlib.import_module(f"hybrid.{package}")
    tree = ast.parse(Path(str(door.__file__)).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = [
        (alias.asname, node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    loaded = [
        (name, f"hybrid.{package}.{module}")
        for module, names in door._MODULES.items()
        for name in names.split()
    ]
    assert sorted(seen) == sorted(loaded)
    for name, module in loaded:
        assert getattr(door, name) is getattr(importlib.import_module(module), name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        door.nothing  # noqa: B018
