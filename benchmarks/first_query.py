"""From command to first answer in a new process, encoding excluded.

    python benchmarks/first_query.py --json docs/results/first_query.json

Three commands, each run several times in new processes after one run that fills the caches of
compiled kernels. ``open and search`` opens an index of generated sparse and dense rows in two
branches, and searches both with rows already encoded; ``hybrid search`` is the command line on the
bundled collection with a BM25 branch, whose queries need no network; ``import hybrid`` is the least
that anything costs. ``cpu_s`` says more than ``wall_s`` where other jobs run.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

OPEN_AND_SEARCH = """
import sys
from pathlib import Path
import numpy as np
from scipy.sparse import load_npz
from hybrid.index.hybrid import HybridIndex

folder = Path(sys.argv[1])
index = HybridIndex.open(folder / "index")
nums, _ = index.branch("sparse").search(load_npz(folder / "query.npz"), 10)
print(nums[0].tolist())
nums, _ = index.branch("dense").search(np.load(folder / "query.npy"), 10)
print(nums[0].tolist())
"""


def prepare(folder: Path, docs: int) -> dict[str, list[str]]:
    """Write the indexes; return the commands by name."""
    import living_index
    import numpy as np
    from scipy.sparse import save_npz

    documents = living_index.encoded("splade", docs)
    living_index.build(folder / "index", documents)
    save_npz(folder / "query.npz", living_index.query_rows("splade", 1))
    np.save(folder / "query.npy", documents.dense[:1])
    stdlib = str(folder / "stdlib.idx")
    command = [sys.executable, "-m", "hybrid", "build", "stdlib", "-o", stdlib]
    run([*command, "--sparse", "none", "--dense", "none", "--bm25"])
    search = [sys.executable, "-m", "hybrid", "search", stdlib, "merge sorted lists", "-k", "3"]
    return {
        "import hybrid": [sys.executable, "-c", "import hybrid"],
        "open and search": [sys.executable, "-c", OPEN_AND_SEARCH, str(folder)],
        "hybrid search": search,
    }


def run(command: list[str]) -> tuple[float, float]:
    """Run a command; return its wall and processor seconds."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    sys.path[:0] = [str(ROOT)]
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="first-query-") as folder:
        for name, command in prepare(Path(folder), args.docs).items():
            run(command)
            runs = [run(command) for _ in range(args.repeats)]
            wall, cpu = zip(*runs, strict=True)
            figures.append(
                {
                    "command": name,
                    "wall_s": round(statistics.median(wall), 3),
                    "least_wall_s": round(min(wall), 3),
                    "cpu_s": round(statistics.median(cpu), 3),
                    "load": round(os.getloadavg()[0], 1),
                }
            )
            print(json.dumps(figures[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
