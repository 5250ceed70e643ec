"""``hybrid doctor``: environments that cannot work well are named."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import threadpoolctl
import torch

from hybrid.cli import doctor


def test_two_faiss_wheels_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        metadata, "version", lambda name: {"faiss-cpu": "1", "faiss-gpu": "1"}[name]
    )
    monkeypatch.setattr(metadata, "PackageNotFoundError", KeyError)
    with pytest.raises(RuntimeError, match="faiss-cpu and faiss-gpu install the same module"):
        doctor._faiss_wheel()


def test_a_cuda_torch_without_a_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RuntimeError, match=r"brings gigabytes of CUDA 12\.8"):
        doctor._torch_wheel()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert doctor._torch_wheel() == "for CUDA"


@pytest.mark.parametrize(
    ("prefixes", "clash"),
    [(["libgomp"], False), (["libgomp", "libiomp"], True), (["libiomp"], False), ([], False)],
)
def test_two_openmp_runtimes_are_named(
    monkeypatch: pytest.MonkeyPatch, prefixes: list[str], clash: bool
) -> None:
    pools = [{"user_api": "openmp", "prefix": p, "filepath": f"/{p}.so"} for p in prefixes]
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: pools)
    if clash:
        with pytest.raises(RuntimeError, match=r"loaded together.*/libgomp\.so, /libiomp\.so"):
            doctor._openmp()
    else:
        assert doctor._openmp() == (", ".join(prefixes) or "none")


COMPILED = """
import sys
import numpy as np
from numba.core.dispatcher import Dispatcher
from hybrid import BuildOptions, Document, build_index, open as open_index

def compiled():
    modules = [each for name, each in sys.modules.items() if name.startswith("hybrid.kernels.")]
    named = [(name, each) for module in modules for name, each in vars(module).items()]
    return {(name, *each.signatures) for name, each in named if isinstance(each, Dispatcher)}

folder = sys.argv[1] + "/index"
documents = [Document(f"d{n:03}", text=f"word{n % 7} word", fields={"n": n}) for n in range(200)]
build_index(documents, folder, BuildOptions(sparse=None, dense=None, bm25=True))
with open_index(folder) as index:
    {warm}
    before = compiled()
    assert ("answer" in {name for name, *signatures in before if signatures})
    for where in (None, "n < 190", "n < 3"):
        assert len(index.search("word1 word2", k=1, filter=where)) == 1, where
    for step in range(int(sys.argv[2])):
        index.add([Document(f"e{step}", text="word1", fields={"n": 1})])
        for where in (None, "n < 190", "n < 3"):
            assert len(index.search("word1 word2", k=1, filter=where)) == 1, where
    print(sorted({name for name, *_ in compiled() - before}))
"""


@pytest.mark.parametrize(
    ("warm", "changes"),
    [
        ("from hybrid.cli import doctor; doctor._kernels()", "2"),
        ("from hybrid.serve.service import Service; Service(index).warm()", "0"),
    ],
)
def test_no_search_compiles_a_kernel_after_it(warm: str, changes: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMPILED.replace("{warm}", warm), str(tmp_path), changes],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
