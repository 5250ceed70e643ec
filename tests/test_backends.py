from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hybrid.errors import MissingPackageError, UsageError
from hybrid.index import backends
from hybrid.index.backends import Probe, ask, choose, ordinal_of, probe_faiss, probe_torch
from hybrid.index.dense.brute_force import FaissBruteForce
from hybrid.index.dense.gpu import FAISS_MOST, FaissGpuBruteForce, TorchBruteForce
from hybrid.index.documents.subset import Subset

YES, NO = Probe(True, "it answered"), Probe(False, "it is built for the CPU")


def stand_in_for_faiss_gpu(monkeypatch: pytest.MonkeyPatch, gpus: int = 1) -> list[int]:
    """Let FAISS's CPU index stand in for its GPU one; return the numbers of the GPUs used."""
    used: list[int] = []

    def flat(resources: object, dimension: int, config: Any) -> Any:
        used.append(config.device)
        return faiss.IndexFlatIP(dimension)

    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexFlatConfig", SimpleNamespace, raising=False)
    monkeypatch.setattr(faiss, "GpuIndexFlatIP", flat, raising=False)
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: gpus, raising=False)
    return used


def probes(monkeypatch: pytest.MonkeyPatch, by_torch: Probe, by_faiss: Probe) -> None:
    monkeypatch.setattr(backends, "driver_found", lambda: True)
    monkeypatch.setattr(backends, "probe_torch", lambda ordinal: by_torch)
    monkeypatch.setattr(backends, "probe_faiss", lambda ordinal: by_faiss)


@pytest.mark.parametrize(
    ("by_torch", "by_faiss", "dense", "sparse"),
    [
        (YES, YES, ("faiss-gpu", "cuda:1"), ("torch", "cuda:1")),
        (YES, NO, ("torch", "cuda:1"), ("torch", "cuda:1")),
        (NO, YES, ("faiss-gpu", "cuda:1"), ("kernels", "cpu")),
    ],
)
def test_the_first_backend_that_answers_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
    by_torch: Probe,
    by_faiss: Probe,
    dense: tuple[str, str],
    sparse: tuple[str, str],
) -> None:
    probes(monkeypatch, by_torch, by_faiss)
    found = choose("cuda:1")
    assert (found.dense.name, found.dense.device) == dense
    assert (found.sparse.name, found.sparse.device) == sparse
    if not by_faiss.ok:
        assert "built for the CPU" in found.dense.reason


def test_a_gpu_that_no_library_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    probes(monkeypatch, NO, NO)
    found = choose("auto")
    assert str(found.dense).startswith("faiss on cpu: no GPU answers (it is built")
    assert not found.dense.sends
    assert not found.sparse.sends
    with pytest.raises(UsageError, match="no such GPU answers here: it is built for the CPU"):
        choose("cuda")


def test_without_a_driver_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(ordinal: int) -> Probe:
        raise AssertionError(ordinal)

    monkeypatch.setattr(backends, "DRIVERS", ("libabsent.so.1",))
    monkeypatch.setattr(backends, "probe_torch", refuse)
    monkeypatch.setattr(backends, "probe_faiss", refuse)
    assert choose("auto").dense.reason == backends.NO_DRIVER
    assert choose("cpu").sparse.reason == "asked for"


def test_doctor_asks_without_a_driver_too(monkeypatch: pytest.MonkeyPatch) -> None:
    probes(monkeypatch, NO, Probe(False, "FAISS fails: libcudart.so.12: cannot open"))
    monkeypatch.setattr(backends, "driver_found", lambda: False)
    reason = choose("auto", thorough=True).dense.reason
    assert "no NVIDIA driver" in reason
    assert "libcudart.so.12" in reason


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1", "cuda:x", "CPU", ""])
def test_a_device_is_named_in_one_way(device: str) -> None:
    with pytest.raises(UsageError, match="give auto, cpu, cuda, or cuda:0"):
        choose(device)
    assert ordinal_of("cuda:12") == 12


def test_faiss_built_for_a_gpu_answers_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    used = stand_in_for_faiss_gpu(monkeypatch, gpus=2)
    assert probe_faiss(1).ok
    assert used == [1]
    assert "finds 2 GPUs" in probe_faiss(2).detail
    stand_in_for_faiss_gpu(monkeypatch, gpus=0)
    assert "finds no GPU" in probe_faiss(0).detail


def test_faiss_that_does_not_load_or_answer_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_for_faiss_gpu(monkeypatch)

    def failing(*_: object) -> object:
        raise RuntimeError("CUDA driver version is insufficient")

    monkeypatch.setattr(faiss, "GpuIndexFlatIP", failing, raising=False)
    assert probe_faiss(0) == Probe(False, "FAISS fails: CUDA driver version is insufficient")

    def broken(module: str, **_: str) -> object:
        raise MissingPackageError("libcublas.so.12 is missing")

    monkeypatch.setattr(backends, "require", broken)
    assert probe_faiss(0) == Probe(False, "FAISS fails: libcublas.so.12 is missing")
    assert probe_torch(0) == Probe(False, "torch fails: libcublas.so.12 is missing")


def test_faiss_for_the_cpu_and_torch_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("StandardGpuResources", "GpuIndexFlatIP"):
        monkeypatch.delattr(faiss, name, raising=False)
    assert "built for the CPU (faiss-cpu is installed)" in probe_faiss(0).detail
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "(CUDA 13.0) finds no GPU" in probe_torch(0).detail
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert "finds 1 GPU, counted from cuda:0" in probe_torch(1).detail


class Rounding:
    """A scan whose products keep 11 bits of their factors."""

    def best(
        self,
        queries: NDArray[np.float32],
        vectors: NDArray[np.float32],
        subset: Subset | None,
        count: int,
        threads: int,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        coarse = (vectors.view(np.int32) & ~np.int32(2**13 - 1)).view(np.float32)
        return FaissBruteForce().best(queries, coarse, subset, count, threads)


def test_a_product_of_less_than_float32_fails_the_probe() -> None:
    ask(FaissBruteForce())
    ask(TorchBruteForce("cpu"))
    with pytest.raises(RuntimeError, match=r"expected \(63"):
        ask(Rounding())


def test_faiss_leaves_to_the_cpu_what_it_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    used = stand_in_for_faiss_gpu(monkeypatch)
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((3000, 8), dtype=np.float32)
    scan = FaissGpuBruteForce(0, FaissBruteForce())
    subset = Subset.of(np.arange(0, 3000, 2, dtype=np.int32), 3000)
    assert scan.best(vectors[:2], vectors, subset, 3, 1)[1].max() <= 2998
    assert scan.best(vectors[:2], vectors, None, FAISS_MOST + 1, 1)[1].shape == (2, FAISS_MOST + 1)
    assert used == []
    for _ in range(2):
        found = scan.best(vectors[:2], vectors, None, 3, 1)
        expected = FaissBruteForce().best(vectors[:2], vectors, None, 3, 1)
        np.testing.assert_array_equal(np.sort(found[1]), np.sort(expected[1]))
    assert used == [0]  # the vectors were sent once


def test_torch_slices_a_batch_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybrid.index.dense.gpu.PRODUCT", 250)
    rng = np.random.default_rng(2)
    vectors, queries = (rng.standard_normal((n, 4), dtype=np.float32) for n in (100, 7))
    scores, docs = TorchBruteForce("cpu").best(queries, vectors, None, 5, 1)
    expected = queries @ vectors.T
    np.testing.assert_array_equal(docs, np.argsort(-expected, axis=1)[:, :5])
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1)[:, :5], rtol=1e-5)
