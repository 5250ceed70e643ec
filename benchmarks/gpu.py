"""A GPU held against the CPU: dense and sparse searches, encoding, twenty steps of training.

    make test-gpu        or: python benchmarks/gpu.py [--small] [--device cuda]

At most eight minutes on a machine that has one. Searches must return the same documents and scores
to the bit, encodings must lie within 2e-3 of the CPU's, and a loss must stay finite. Prints a table
in Markdown, and ends with 1 where something differs, with 77 (skipped) where there is no GPU.
``--device cpu --small`` tries the script itself, with torch on the CPU in the GPU's place.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

SKIPPED = 77
CLOSE = 2e-3
QUERIES, K = 64, 100
DIMENSION = 384


@dataclass(frozen=True)
class Row:
    """One line of the table; the difference is the largest of any number."""

    name: str
    cpu_s: float
    gpu_s: float
    difference: float
    passed: bool


def timed(job: Callable[[], Any]) -> tuple[float, Any]:
    """Return seconds and result of a job that ran once before."""
    job()
    began = time.perf_counter()
    found = job()
    return time.perf_counter() - began, found


def compared(name: str, on_cpu: Callable[[], Any], on_gpu: Callable[[], Any]) -> Row:
    """Return the row of a search: documents and scores must be the same to the bit."""
    cpu_s, (numbers, scores) = timed(on_cpu)
    gpu_s, (found, given) = timed(on_gpu)
    same = np.array_equal(found, numbers) and np.array_equal(given, scores)
    both = np.isfinite(scores) & np.isfinite(given)
    difference = np.abs(scores[both] - given[both]).max(initial=0)
    return Row(name, cpu_s, gpu_s, float(difference), same)


def dense(size: int, device: str) -> Iterator[Row]:
    """Yield a row for torch, and one for FAISS where it is built for a GPU."""
    import faiss

    from hybrid.index.dense.brute_force import FaissBruteForce
    from hybrid.index.dense.gpu import FaissGpuBruteForce, TorchBruteForce
    from hybrid.index.dense.segment import VectorSegment
    from hybrid.index.dense.vector import VectorIndex
    from hybrid.index.dense.write import write_vectors

    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((size, DIMENSION), dtype=np.float32)
    vectors[1::50] = vectors[::50][: len(vectors[1::50])]  # ties
    queries = rng.standard_normal((QUERIES, DIMENSION), dtype=np.float32)
    ways: dict[str, Callable[[], Any]] = {"torch": lambda: TorchBruteForce(device)}
    if device != "cpu" and hasattr(faiss, "StandardGpuResources"):
        ways["FAISS"] = lambda: FaissGpuBruteForce(0, FaissBruteForce())
    else:
        print("FAISS is not built for a GPU here; its scan is left out", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        write_vectors([vectors], Path(folder), dimension=DIMENSION)
        for name, make in ways.items():
            cpu, gpu = (VectorIndex([VectorSegment.open(Path(folder))]) for _ in range(2))
            gpu.segments[0].brute_force = make()
            yield compared(
                f"dense search, {name}, {size:,} vectors",
                lambda cpu=cpu: cpu.search(queries, K),
                lambda gpu=gpu: gpu.search(queries, K),
            )


def sparse(size: int, device: str) -> Iterator[Row]:
    """Yield a row of a batch of queries in the inverted index."""
    import sparse_vectors

    from hybrid.index.sparse.gpu import DeviceSearcher
    from hybrid.index.sparse.inverted import InvertedIndex
    from hybrid.index.sparse.write import SparseOptions, write_postings

    queries = sparse_vectors.queries("symmetric", QUERIES, 1)
    with tempfile.TemporaryDirectory() as folder:
        options = SparseOptions(vocabulary_size=sparse_vectors.VOCABULARY)
        write_postings(sparse_vectors.documents(size, 0), Path(folder), options)
        index = InvertedIndex.open(Path(folder))
        held = DeviceSearcher(index, device)
        yield compared(
            f"sparse search, {size:,} documents",
            lambda: index.search(queries, K),
            lambda: held.search(queries, K),
        )


def encoding(size: int, device: str) -> Iterator[Row]:
    """Yield a row for each built-in model."""
    from itertools import islice

    from hybrid.corpus import open_source
    from hybrid.encoders import load_dense, load_sparse

    texts = [each.full_text for each in islice(open_source("stdlib").documents(), size)]
    for load, name in ((load_sparse, "builtin:splade"), (load_dense, "builtin:minilm")):
        models = [load(name, device=each, max_length=64) for each in ("cpu", device)]
        (cpu_s, rows), (gpu_s, found) = (
            timed(lambda model=model: model.encode_documents(texts)) for model in models
        )
        difference = float(abs(rows - found).max())
        yield Row(f"{name}, {size} texts", cpu_s, gpu_s, difference, difference <= CLOSE)


def training(steps: int, device: str) -> Iterator[Row]:
    """Yield a row of training; its difference is that of the last losses."""
    from itertools import islice

    from hybrid.corpus import open_source
    from hybrid.training import Example, TrainOptions, train

    documents = islice(open_source("stdlib").documents(), 8 * steps)
    examples = [Example(each.title or each.doc_id, each.text) for each in documents]
    seconds, losses = [], []
    for each in ("cpu", device):
        options = TrainOptions(
            "builtin:splade", steps=steps, batch_size=8, max_length=32, device=each
        )
        told: list[Any] = []
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            train(examples, Path(folder) / "out", options, watch=told.append)
            seconds.append(time.perf_counter() - began)
        losses.append([sum(step.losses.values()) for step in told if hasattr(step, "losses")])
    cpu, gpu = (found[-1] for found in losses)
    passed = bool(np.isfinite([cpu, gpu]).all() and abs(cpu - gpu) <= 0.05 * abs(cpu))
    yield Row(f"training, {steps} steps", *seconds, abs(cpu - gpu), passed)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="a hundredth of the work")
    given = parser.parse_args()
    import torch

    if given.device != "cpu" and not torch.cuda.is_available():
        print("skipped: torch finds no GPU on this machine, so nothing was tested")
        sys.exit(SKIPPED)
    name = given.device if given.device == "cpu" else torch.cuda.get_device_name(given.device)
    part = 100 if given.small else 1
    print(f"{name}, torch {torch.__version__}\n")
    print("| what | CPU s | GPU s | largest difference | |\n|---|---|---|---|---|")
    rows = []
    for found in (
        dense(200_000 // part, given.device),
        sparse(100_000 // part, given.device),
        encoding(1_000 // part, given.device),
        training(2 if given.small else 20, given.device),
    ):
        for row in found:
            rows.append(row)
            said = "same" if row.passed else "DIFFERS"
            figures = f"{row.cpu_s:.3f} | {row.gpu_s:.3f} | {row.difference:.2g}"
            print(f"| {row.name} | {figures} | {said} |", flush=True)
    if not all(row.passed for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
