"""A build from encoder shards needs memory for its documents' numbers, not for their vectors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from hybrid.build.encode import EncodeOptions, encode_corpus
from hybrid.corpus import Document

TERMS, VOCABULARY, SHARD = 64, 5_000, 16_384

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").is_file(), reason="resident memory is read from /proc"
)

BUILD = """
import ctypes, json, sys, threading, tracemalloc
from pathlib import Path

from hybrid.build.shards import Shards
from hybrid.index.sparse.write import SparseOptions, write_postings


def anonymous() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))


def built(target: Path, rows) -> None:
    target.mkdir()
    width = shards.branches["sparse"].width
    write_postings(rows, target, SparseOptions(vocabulary_size=width, order="cluster", threads=1))


def watch() -> None:
    global peak
    while not done.wait(0.002):
        peak = max(peak, anonymous())


folder, target = map(Path, sys.argv[1:])
shards = Shards(folder)
tracemalloc.start()
built(target / "warm", [shards.sparse("sparse", 0)[:2000]])  # kernels are loaded
order = shards.order()  # sorts the ids, which are as large as their texts
ctypes.CDLL(None).malloc_trim(0)
tracemalloc.reset_peak()
held = tracemalloc.get_traced_memory()[0]
peak = before = anonymous()
done = threading.Event()
thread = threading.Thread(target=watch)
thread.start()
built(target / "index", shards.ordered_sparse("sparse", order, 4096))
done.set()
thread.join()
traced = tracemalloc.get_traced_memory()[1] - held
print(json.dumps({"traced": traced, "resident": (peak - before) * 1024}))
"""


class RandomRows:
    """A sparse encoder whose rows are random: 64 terms of 5,000, seeded by the first text."""

    vocabulary: ClassVar = [f"t{term}" for term in range(VOCABULARY)]
    fingerprint: ClassVar = {"model": "random"}

    def encode_documents(self, texts: Sequence[str], progress: object = None) -> csr_matrix:
        rng = np.random.default_rng(int(texts[0]))
        steps = rng.integers(1, VOCABULARY // TERMS + 1, (len(texts), TERMS))
        terms = np.cumsum(steps, axis=1).astype(np.int32) - 1
        weights = rng.random(terms.size, dtype=np.float32) + np.float32(0.1)
        indptr = np.arange(len(texts) + 1) * TERMS
        return csr_matrix((weights, terms.ravel(), indptr), shape=(len(texts), VOCABULARY))

    def encode_queries(self, texts: Sequence[str]) -> csr_matrix:
        return self.encode_documents(texts)

    def literal_terms(self, text: str) -> frozenset[str]:
        return frozenset()


def encoded(folder: Path, shards: int) -> Path:
    documents = (Document(f"{number:07}", str(number)) for number in range(shards * SHARD))
    encode_corpus(documents, folder, {"sparse": RandomRows()}, EncodeOptions(shard_size=SHARD))
    return folder


def grown(folder: Path, target: Path) -> dict[str, int]:
    """Return the bytes that a build in a new process took at its peak.

    ``traced`` is what Python and NumPy asked for; ``resident`` the anonymous pages, which depend on
    how the allocator lays them out, too.
    """
    target.mkdir()
    command = [sys.executable, "-c", BUILD, str(folder), str(target)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_the_memory_of_a_build_does_not_grow_with_its_shards(tmp_path: Path) -> None:
    few, many = 4, 20
    small, large = (
        grown(encoded(tmp_path / f"shards{count}", count), tmp_path / f"index{count}")
        for count in (few, many)
    )
    # A range of 65,536 documents is held at once; what is added is some numbers a document, 13 to
    # 65 bytes of arrays, 55 to 130 as the allocator has it, the more the further a free thread runs
    # ahead of a busy one. The vectors of a document are 512.
    added = (many - few) * SHARD
    assert large["traced"] - small["traced"] < 100 * added, (small, large)
    assert large["resident"] - small["resident"] < 200 * added, (small, large)
    vectors = many * SHARD * TERMS * 8
    assert large["resident"] < vectors * 2 / 3, (large, vectors)
