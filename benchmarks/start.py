"""What a first query and many at once cost: processor seconds of a shell, and of clients.

Prints a page in Markdown. Processor time counts, for a busy machine changes it least; a search of
everything is tried in torch and in ONNX.

    hybrid demo -o stdlib.idx
    python benchmarks/start.py stdlib.idx > docs/results/start.md
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path

import numpy as np

import hybrid
from hybrid.corpus import open_source
from hybrid.encoders import shared

QUERY = "merge sorted lists"
CLIENTS = (1, 2, 4, 8)
BACKENDS = ("torch", "onnx")
PASSES = {"two": lambda encoders, task="document": None, "one": shared.find_shared_pass}
"""Of the backbone for a query: one for each of both branches, or one for both."""


def seconds(arguments: Sequence[str], limit: float = 300) -> float:
    """Return the processor seconds of one child process, with byte code as pip leaves it."""
    env = {name: each for name, each in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    given = [sys.executable, *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(given, check=True, capture_output=True, timeout=limit, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def shell(index: Path) -> None:
    """Print the processor seconds of commands, each run once before."""
    search = ["-m", "hybrid", "-q", "search", str(index), QUERY]
    asked = {
        "`import hybrid`": ["-c", "import hybrid"],
        "`import numpy, scipy.sparse, numba, pyarrow, typer`, for comparison": [
            "-c",
            "import numpy, scipy.sparse, numba, pyarrow, typer",
        ],
        "`hybrid search --fusion bm25`": [*search, "--fusion", "bm25"],
        **{
            f"`hybrid search`, all branches, {backend}": [*search, "--backend", backend]
            for backend in BACKENDS
        },
    }
    print("| what is run | processor seconds |\n|---|---|")
    for name, arguments in asked.items():
        seconds(arguments)  # caches are filled
        print(f"| {name} | {seconds(arguments):.2f} |", flush=True)


def clients(index: Path, texts: Sequence[str]) -> None:
    """Print latency, rate and processor time of threads that search one index."""
    print("\n| backend | passes | clients | p50 ms | p95 ms | queries/s | processor ms a query |")
    print("|---|---|---|---|---|---|---|")
    for backend, (passes, find) in product(BACKENDS, PASSES.items()):
        shared.find_shared_pass = find
        with hybrid.open(index, backend=backend) as opened:

            def one(text: str, opened: hybrid.Index = opened) -> float:
                began = time.perf_counter()
                opened.search(text, k=10)
                return time.perf_counter() - began

            for text in texts[:4]:
                one(text)
            for count in CLIENTS:
                used, began = time.process_time(), time.perf_counter()
                with ThreadPoolExecutor(count) as pool:
                    took = np.array(list(pool.map(one, texts))) * 1e3
                wall, used = time.perf_counter() - began, time.process_time() - used
                p50, p95 = np.quantile(took, [0.5, 0.95])
                rate, cost = len(texts) / wall, used / len(texts) * 1e3
                figures = " | ".join(f"{each:.0f}" for each in (count, p50, p95, rate, cost))
                print(f"| {backend} | {passes} | {figures} |", flush=True)


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("index", type=Path)
    parser.add_argument("--queries", type=int, default=120)
    given = parser.parse_args()
    texts = [query.text for query in open_source("stdlib").queries()][: given.queries]
    print("# What do a first query and many at once cost?\n")
    print(
        f"`benchmarks/start.py`, on {os.cpu_count()} cores at a load of {os.getloadavg()[0]:.1f}.\n"
    )
    shell(given.index)
    clients(given.index, texts)


if __name__ == "__main__":
    main()
