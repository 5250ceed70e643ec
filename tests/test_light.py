"""Without the heavy packages, and without a network, an index opens and is searched."""

from __future__ import annotations

import os
import subprocess
import sys
from ast import literal_eval
from pathlib import Path

import pytest
from typer.main import get_command

import hybrid
import hybrid.cli
from hybrid.cli import COMMANDS, application

BLOCKED = """
import builtins, importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    names = {"torch", "sentence_transformers", "transformers", "optuna", "ir_datasets"}
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
"""
NO_NETWORK = """
import socket

def refused(*given, **named):
    raise AssertionError("a socket was opened")

socket.socket.connect = refused
socket.socket.connect_ex = refused
socket.create_connection = refused
socket.getaddrinfo = refused
"""
SEARCH = """
import sys, hybrid
import numpy as np

class Stored:
    '''A query encoder that another process stands behind: vectors that are there already.'''
    def __init__(self, index):
        from hybrid.index.hybrid import HybridIndex
        self.fingerprint = HybridIndex.open(index).record("dense").fingerprint
        self.dimension = 16
    def encode_queries(self, texts, progress=None):
        return np.eye(len(texts), self.dimension, dtype=np.float32)
    def encode_documents(self, texts, progress=None):
        raise AssertionError

with hybrid.open(sys.argv[1], encoders={"dense": Stored(sys.argv[1])}) as index:
    print([hit.doc_id for hit in index.search("merge sorted lists", k=2, fusion="bm25")])
    print(len(index.search("merge sorted lists", k=3, fusion="dense")))
    print(len(index.search("merge sorted lists", k=3, fusion="rrf(k=60, branches=(bm25, dense))")))
"""
OFFLINE = """
import sys, hybrid

source = hybrid.open_source(sys.argv[2])
options = hybrid.BuildOptions(sparse=None, dense=sys.argv[4])
hybrid.build_index(source, sys.argv[3], options)
with hybrid.open(sys.argv[3]) as index:
    print(len(index.search("merge sorted lists", k=3)))
"""


def run(code: str, *arguments: object) -> list[str]:
    root = Path(hybrid.__file__).parent.parent
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**environment, "PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_an_index_is_searched_without_the_heavy_packages(tiny_index: Path) -> None:
    first, dense, fused = run(BLOCKED + SEARCH, tiny_index)
    assert first.startswith("['heapq.merge'")
    assert (dense, fused) == ("3", "3")


def test_nothing_is_fetched_unless_a_hub_id_is_named(
    tiny_dense: Path, beir_folder: Path, tmp_path: Path
) -> None:
    found = run(NO_NETWORK + OFFLINE, "", beir_folder, tmp_path / "index", tiny_dense)
    assert found == ["3"]


SHELL = """
import sys

sys.argv = ["hybrid", "search", sys.argv[1], "merge sorted lists", "-k", "2", "--fusion", "bm25"]
from hybrid.cli import main
try:
    main()
finally:
    print(sorted(sys.modules))
"""
NOT_FOR_BM25 = {
    "torch",
    "transformers",
    "tokenizers",
    "sentence_transformers",
    "onnxruntime",
    "sklearn",
    "pandas",
    "pyarrow.compute",
    "optuna",
    "ir_datasets",
    "ir_measures",
    "faiss",
    "numba",
    "hybrid.build.create",
    "hybrid.build.update",
    "hybrid.cli.commands.build",
    "hybrid.evaluate.options",
    "hybrid.tune",
}


def test_a_shell_query_of_bm25_loads_nothing_that_it_does_not_need(tiny_index: Path) -> None:
    *hits, loaded = run(SHELL, tiny_index)
    assert "heapq.merge" in hits[0]
    assert NOT_FOR_BM25 & set(literal_eval(loaded)) == set()


@pytest.mark.parametrize(
    ("arguments", "commands"),
    [
        (["search", "stdlib.idx", "build"], {"search"}),
        (["-q", "mcp", "stdlib.idx"], {"serve"}),
        (["models", "list"], {"about"}),
        (["--help"], set(COMMANDS)),
        (["--help", "search"], set(COMMANDS)),
        (["-q", "--help", "search"], set(COMMANDS)),
        (["search", "--help"], {"search"}),
        ([], set(COMMANDS)),
        (["serch", "stdlib.idx"], set(COMMANDS)),
        (["--config", "search", "build"], set(COMMANDS)),
        (["--config=own.toml", "build"], set(COMMANDS)),
    ],
)
def test_only_the_module_of_the_typed_command_is_loaded(
    arguments: list[str], commands: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loaded: list[str] = []
    monkeypatch.setattr(hybrid.cli, "import_module", loaded.append)
    application(arguments)
    assert {name.rsplit(".", 1)[1] for name in loaded} == commands


def test_a_configuration_file_loads_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hybrid.toml").write_text("[build]\nmax-length = 64\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    loaded: list[str] = []
    monkeypatch.setattr(hybrid.cli, "import_module", loaded.append)
    application(["search", "stdlib.idx", "query"])
    assert len(loaded) == len(COMMANDS)


def test_each_module_has_the_commands_that_it_is_said_to_have() -> None:
    found = get_command(application()).commands  # type: ignore[attr-defined]
    assert sorted(found) == sorted(" ".join(COMMANDS.values()).split())
    homes = [name for name, said in COMMANDS.items() for _ in said.split()]
    for name, home in zip(" ".join(COMMANDS.values()).split(), homes, strict=True):
        inner = getattr(found[name], "commands", {"": found[name]})
        assert {each.callback.__module__ for each in inner.values()} == {
            f"hybrid.cli.commands.{home}"
        }


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, "1000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, "None"),
    ],
)
def test_threads_that_wait_give_way_unless_told_otherwise(
    own: dict[str, str], expected: str
) -> None:
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    rest = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", "import os, hybrid; print(os.environ.get('GOMP_SPINCOUNT'))"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**rest, "PYTHONPATH": str(Path(hybrid.__file__).parent.parent), **own},
    )
    assert done.stdout.strip() == expected, done.stderr
