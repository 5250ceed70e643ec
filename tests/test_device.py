from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.corpus import Passages
from hybrid.errors import DeviceError, MissingPackageError, UsageError
from hybrid.index import backends as backends_module
from hybrid.index import device as device_module
from hybrid.index.backends import Backend, Backends
from hybrid.index.dense.gpu import FaissGpuBruteForce, TorchBruteForce
from hybrid.index.device import LEAST, DeviceBruteForce, DeviceInvertedIndex
from hybrid.index.sparse.gpu import DeviceSearcher
from hybrid.machine.gpu import warn_unconfirmed
from hybrid.search.index import Index, open_index
from tests.conftest import DOCUMENTS, load_script
from tests.test_backends import stand_in_for_faiss_gpu
from tests.test_living import ENCODERS, WORDS, Memory, document

ON_TORCH = Backends(Backend("torch", "cpu", "stands in"), Backend("torch", "cpu", "stands in"))
ON_FAISS = Backends(Backend("faiss-gpu", "cuda:0", "stands in"), ON_TORCH.sparse)
TEXTS = {str(i): f"{WORDS[i % len(WORDS)]} {WORDS[i * 5 % len(WORDS)]}" for i in range(2 * LEAST)}


def stand_in(monkeypatch: pytest.MonkeyPatch, found: Backends = ON_TORCH) -> None:
    """Let the CPU stand in for the GPU of ``auto`` and ``cuda``."""
    monkeypatch.setattr(backends_module, "driver_found", lambda: True)
    monkeypatch.setattr(backends_module, "choose", lambda device: found)
    if found is ON_FAISS:
        stand_in_for_faiss_gpu(monkeypatch)


class Calls:
    """Counts the searches that reach the stand-in of a device."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sparse = self.dense = self.faiss = 0
        for kind, name, method in (
            (DeviceSearcher, "sparse", "search"),
            (TorchBruteForce, "dense", "best"),
            (FaissGpuBruteForce, "faiss", "best"),
        ):
            monkeypatch.setattr(kind, method, self._counted(getattr(kind, method), name))

    def _counted(self, method: Any, name: str) -> Any:
        def called(*args: Any, **options: Any) -> Any:
            setattr(self, name, getattr(self, name) + 1)
            return method(*args, **options)

        return called


def make(directory: Path, *, passages: bool = False, segments: bool = False) -> Path:
    options = BuildOptions(weights="uint8", passages=Passages(4, 1) if passages else None)
    build_index(Memory([document(n) for n in range(160)]), directory, options, encoders=ENCODERS)
    if segments:
        with Index(directory, encoders=ENCODERS) as index:
            index.add(document(n) for n in range(160, 200))
            index.delete(f"d{n:04}" for n in range(0, 150, 2))  # so many that a subset is searched
            index.add(document(n) for n in range(200, 220))
            index.delete(["d0170", "d0210"])
    return directory


def assert_same_pools(found: Index, expected: Index, **options: Any) -> None:
    for depth in (1, 7, len(expected)):
        one, other = (each.pool(TEXTS, depth=depth, **options) for each in (found, expected))
        for name in ("offsets", "doc_nums", "scores", "ranks"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.parametrize("backends", [ON_TORCH, ON_FAISS], ids=["torch", "faiss"])
@pytest.mark.parametrize("shape", ["one", "segments", "passages", "both"])
def test_a_device_returns_the_bits_of_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: str, backends: Backends, device: str
) -> None:
    folder = make(
        tmp_path / "index",
        passages=shape in ("passages", "both"),
        segments=shape in ("segments", "both"),
    )
    stand_in(monkeypatch, backends)
    calls = Calls(monkeypatch)
    expected = Index(folder, encoders=ENCODERS, device="cpu")
    expected.pool(TEXTS, depth=7)
    assert (calls.sparse, calls.dense, calls.faiss) == (0, 0, 0)
    found = Index(folder, encoders=ENCODERS, device=device)
    assert_same_pools(found, expected)
    assert calls.sparse > 0
    assert (calls.dense > 0, calls.faiss > 0) == (backends is ON_TORCH, backends is ON_FAISS)
    assert found.search(TEXTS) == expected.search(TEXTS)


def test_a_filter_is_searched_on_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / "index", segments=True)
    stand_in(monkeypatch)
    calls = Calls(monkeypatch)
    found, expected = (Index(folder, encoders=ENCODERS, device=d) for d in ("cuda", "cpu"))
    subset = np.arange(0, len(expected), 3, dtype=np.int32)
    for name in ("sparse", "dense"):
        queries = ENCODERS[name].encode_queries(list(TEXTS.values()))  # type: ignore[attr-defined]
        one = found.contents.branch(name).search(queries, 9, subset=subset)
        other = expected.contents.branch(name).search(queries, 9, subset=subset)
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    assert calls.sparse == 1
    assert calls.dense == 3  # one a segment


def test_few_queries_stay_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "index")
    stand_in(monkeypatch)
    calls = Calls(monkeypatch)
    few = dict(list(TEXTS.items())[: LEAST - 1])
    Index(folder, encoders=ENCODERS).pool(few, depth=3)
    assert (calls.sparse, calls.dense) == (0, 0)
    Index(folder, encoders=ENCODERS, device="cuda").pool(few, depth=3)
    assert (calls.sparse, calls.dense) == (0, 1)  # a named device answers all dense searches
    Index(folder, encoders=ENCODERS).pool(dict(list(TEXTS.items())[:LEAST]), depth=3)
    assert (calls.sparse, calls.dense) == (1, 2)


def test_nothing_stands_between_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / "index")
    monkeypatch.setattr(backends_module, "driver_found", lambda: False)
    for device in ("auto", "cpu"):
        contents = Index(folder, encoders=ENCODERS, device=device).contents
        assert contents.branch("sparse") is contents.sparse("sparse")
        assert not isinstance(contents.dense("dense").segments[0].brute_force, DeviceBruteForce)
    stand_in(monkeypatch)
    contents = Index(folder, encoders=ENCODERS).contents
    assert isinstance(contents.branch("sparse"), DeviceInvertedIndex)
    assert contents.branch("sparse") is contents.branch("sparse")
    assert contents.branch("sparse").doc_count == 160


def test_an_absent_device_is_refused_when_the_index_is_opened(tmp_path: Path) -> None:
    folder = make(tmp_path / "index")
    with pytest.raises(UsageError, match="device is 'cuda:99', and no such GPU answers here"):
        open_index(folder, device="cuda:99")
    with pytest.raises(UsageError, match="give auto, cpu, cuda"):
        open_index(folder, device="tpu")


def test_a_device_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "index")
    stand_in(monkeypatch)
    made = []

    class Full:
        def __init__(self, *_: object) -> None:
            made.append(self)
            raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(device_module, "DeviceSearcher", Full)
    monkeypatch.setattr("hybrid.index.dense.gpu.TorchBruteForce", Full)
    expected = Index(folder, encoders=ENCODERS, device="cpu")
    for branch in ("sparse", "dense"):
        index = Index(folder, encoders=ENCODERS, device="cuda")
        with pytest.raises(DeviceError, match=f"the {branch} search failed on the GPU: CUDA out"):
            index.pool(TEXTS, depth=3, branches=[branch])
        index = Index(folder, encoders=ENCODERS, device="auto")
        made.clear()
        with pytest.warns(RuntimeWarning, match="The CPU goes on from here"):
            assert_same_pools(index, expected, branches=[branch])
        assert len(made) == 1


def test_torch_answers_alone_where_faiss_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / "index")
    expected = Index(folder, encoders=ENCODERS, device="cpu").search("merge sort", fusion="dense")
    few = dict(list(TEXTS.items())[: LEAST - 1])  # too few for a device, were FAISS there
    cpu = Index(folder, encoders=ENCODERS, device="cpu")
    pools = {len(each): cpu.pool(each, depth=7, branches=["dense"]) for each in (few, TEXTS)}

    def missing(*_: object, **__: object) -> object:
        raise MissingPackageError("dense search needs the package 'faiss'")

    monkeypatch.setattr("hybrid.index.dense.brute_force.require", missing)
    stand_in(monkeypatch)
    index = Index(folder, encoders=ENCODERS)
    assert index.search("merge sort", fusion="dense") == expected
    for queries in (few, TEXTS):
        pool = index.pool(queries, depth=7, branches=["dense"])
        np.testing.assert_array_equal(pool.doc_nums, pools[len(queries)].doc_nums)
        np.testing.assert_array_equal(pool.scores, pools[len(queries)].scores)
    cpu_only = Backends(Backend("faiss", "cpu", "no GPU"), Backend("kernels", "cpu", "no GPU"))
    stand_in(monkeypatch, cpu_only)
    alone = Index(folder, encoders=ENCODERS)
    assert alone.search("merge sort", fusion="dense") == expected  # few queries need neither
    for queries in (few, TEXTS):
        with pytest.raises(MissingPackageError, match="faiss"):
            alone.pool(queries, depth=7, branches=["dense"])


def test_a_reopened_index_stays_on_its_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / "index")
    stand_in(monkeypatch)
    index = Index(folder, encoders=ENCODERS)
    index.add([document(500)])
    assert isinstance(index.contents.branch("sparse"), DeviceInvertedIndex)


def test_encoders_follow_a_named_device(tiny_index: Path) -> None:
    index = open_index(tiny_index, device="cpu")
    assert index.encoder("dense").model.device.type == "cpu"  # type: ignore[union-attr]
    assert len(index.search("parse json", fusion="dense")) == len(DOCUMENTS)


def test_bm25_alone_loads_neither_torch_nor_faiss(tmp_path: Path) -> None:
    options = BuildOptions(sparse=None, dense=None)
    build_index(Memory([document(n) for n in range(5)]), tmp_path / "index", options)
    code = (
        "import sys, hybrid\n"
        f"hits = hybrid.open({str(tmp_path / 'index')!r}).search('merge sort list heap', k=1)\n"
        "print(len(hits), [name for name in ('torch', 'faiss') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1 []"


def test_work_on_a_gpu_is_said_to_be_unconfirmed() -> None:
    with pytest.warns(RuntimeWarning, match="a model on cuda:1 was never confirmed on a GPU"):
        warn_unconfirmed("a model", "cuda:1")


def test_nothing_is_said_of_work_on_the_cpu(recwarn: pytest.WarningsRecorder) -> None:
    warn_unconfirmed("a model", "cpu")
    assert not recwarn.list


def test_the_first_search_on_a_gpu_is_said_to_be_unconfirmed(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    stand_in(monkeypatch, ON_FAISS)
    held = device_module.Held(lambda: "vectors", device_module.SearchDevice("cuda"), "dense")
    with pytest.warns(RuntimeWarning, match="the dense search on cuda:0 was never confirmed"):
        assert held.use(str.upper, lambda: "") == "VECTORS"
    assert held.use(str.upper, lambda: "") == "VECTORS"
    assert not recwarn.list


def test_the_script_for_a_gpu_is_skipped_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = load_script("benchmarks/gpu")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu.py"])
    with pytest.raises(SystemExit) as ended:
        script.main()
    assert ended.value.code == script.SKIPPED == 77
    assert "skipped: torch finds no GPU" in capsys.readouterr().out


def test_the_script_for_a_gpu_finds_a_difference() -> None:
    script = load_script("benchmarks/gpu")
    numbers, scores = np.array([[0, -1]]), np.array([[1.0, -np.inf]])
    same = script.compared("one", lambda: (numbers, scores), lambda: (numbers, scores))
    other = script.compared("two", lambda: (numbers, scores), lambda: (numbers, scores + 0.5))
    assert (same.passed, same.difference) == (True, 0.0)
    assert (other.passed, other.difference) == (False, 0.5)
