"""Peak memory of encoding a corpus by its size: each size in a process of its own.

    python benchmarks/encoding_memory.py [--sizes 1024 2048 4096] [--words 8]

The documents are made of words drawn at random and are streamed; `before` is what the process holds
once both models are loaded.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from hybrid.build.encode import encode_corpus
from hybrid.corpus import Document
from hybrid.encoders import load_dense, load_sparse

WORDS = "merge sorted list heap queue file path read write random number seed match string"


def documents(count: int, words: int) -> Iterator[Document]:
    """Yield documents of random words."""
    drawn = random.Random(0)
    for number in range(count):
        yield Document(f"d{number}", " ".join(drawn.choices(WORDS.split(), k=words)))


def peak_mb() -> float:
    """Return the greatest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(count: int, words: int) -> None:
    """Encode a corpus with both built-in models and print memory before and at the peak."""
    encoders = {"sparse": load_sparse("builtin:splade"), "dense": load_dense("builtin:minilm")}
    before = peak_mb()
    with tempfile.TemporaryDirectory() as folder:
        shards = encode_corpus(documents(count, words), Path(folder), encoders)
        print(f"{shards.document_count:>10,} {before:>10.0f} {peak_mb():>10.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--words", type=int, default=8)
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        work(arguments.worker, arguments.words)
        return
    print(f"{'documents':>10} {'before MB':>10} {'peak MB':>10}", flush=True)
    for size in arguments.sizes:
        command = [sys.executable, __file__, "--worker", str(size), "--words", str(arguments.words)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        print(done.stdout.splitlines()[-1], flush=True)


if __name__ == "__main__":
    main()
