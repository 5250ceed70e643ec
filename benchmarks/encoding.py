"""Encoding speed, memory and agreement, side by side with plain sentence-transformers.

    python benchmarks/encoding.py [--corpus FILE.jsonl] [--texts 512] [--threads 2] [--json]

"pair" is both models: one after the other in plain sentence-transformers, in one pass here. Each
system runs in a process of its own, in turns; the best of the repeats counts. CPU seconds are
printed beside wall seconds because they say more on a shared machine. Without --corpus the texts
are the bundled collection's.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

SYSTEMS = {
    "dense": ("plain", "ours", "ours-bfloat16"),
    "sparse": ("plain", "ours", "ours-bfloat16"),
    "pair": ("plain", "ours", "ours-bfloat16"),
}
SPECS = {"dense": "builtin:minilm", "sparse": "builtin:splade"}


def read_texts(corpus: str | None, count: int) -> list[str]:
    """Return the first texts of a JSONL corpus, or of the bundled collection."""
    from hybrid.corpus import open_source

    source = open_source(corpus if corpus is not None else "stdlib")
    return [document.full_text for document in islice(source.documents(), count)]


def work(branch: str, system: str, arguments: argparse.Namespace) -> None:
    """Encode the texts and write times, memory and the result beside ``--result``."""
    import torch

    from hybrid.encoders import load_dense, load_sparse
    from hybrid.encoders.models.by_name import model_folder
    from hybrid.encoders.models.loading import load_with_own_modules
    from hybrid.encoders.shared import find_shared_pass

    torch.set_num_threads(arguments.threads)
    texts = read_texts(arguments.corpus, arguments.texts)
    branches = ("sparse", "dense") if branch == "pair" else (branch,)
    dtype = "bfloat16" if system == "ours-bfloat16" else "float32"
    encoders = {}
    for each in branches:
        spec = arguments.model or SPECS[each]
        if system == "plain":
            kind = "SentenceTransformer" if each == "dense" else "SparseEncoder"
            encoders[each] = load_with_own_modules(kind, model_folder(spec).path, device="cpu")
        else:
            load = load_dense if each == "dense" else load_sparse
            encoders[each] = load(spec, device="cpu", dtype=dtype)
    shared = find_shared_pass(encoders)

    def encode(texts: list[str]) -> Any:
        """Return the rows, of the dense model where there are both."""
        if shared is not None:
            return shared[2].encode(texts)[1]
        method = "encode_document" if system == "plain" else "encode_documents"
        return [getattr(encoders[each], method)(texts) for each in branches][-1]

    encode(texts[:8])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wall, cpu = [], []
    for _ in range(arguments.repeats):
        start, start_cpu = time.perf_counter(), time.process_time()
        rows = encode(texts)
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if hasattr(rows, "to_dense"):
        rows = rows.to_dense().numpy()
    np.save(arguments.result, rows.toarray() if hasattr(rows, "toarray") else rows)
    figures = {
        "wall": min(wall),
        "cpu": min(cpu),
        "peak_mb": peak / 1024,
        "before_mb": before / 1024,
    }
    print(json.dumps(figures))


def compare(arguments: argparse.Namespace) -> list[dict[str, object]]:
    """Return one row of figures a system."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        for branch in arguments.branches:
            plain: dict[str, float] = {}
            reference = None
            for system in SYSTEMS[branch]:
                result = Path(folder) / f"{branch}-{system}.npy"
                command = [sys.executable, __file__, "--worker", branch, system]
                command += ["--result", str(result), "--texts", str(arguments.texts)]
                command += ["--threads", str(arguments.threads)]
                command += ["--repeats", str(arguments.repeats)]
                if arguments.model is not None:
                    command += ["--model", arguments.model]
                if arguments.corpus is not None:
                    command += ["--corpus", arguments.corpus]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                figures = json.loads(done.stdout.splitlines()[-1])
                encoded = np.load(result)
                if system == "plain":
                    plain, reference = figures, encoded
                rows.append(
                    {
                        "branch": branch,
                        "system": system,
                        "texts_per_s": arguments.texts / figures["wall"],
                        "texts_per_cpu_s": arguments.texts / figures["cpu"],
                        "times_wall": plain["wall"] / figures["wall"],
                        "times_cpu": plain["cpu"] / figures["cpu"],
                        "peak_mb": figures["peak_mb"],
                        "largest_difference": float(np.abs(encoded - reference).max()),
                    }
                )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus")
    parser.add_argument("--model", help="instead of the built-in one; give one --branches too")
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--branches", nargs="+", default=[*SYSTEMS], choices=[*SYSTEMS])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--result", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        work(*arguments.worker, arguments)
        return
    rows = compare(arguments)
    if arguments.json:
        print(json.dumps({"texts": arguments.texts, "threads": arguments.threads, "rows": rows}))
        return
    names = [*rows[0]]
    print(" ".join(f"{name:>18}" for name in names))
    for row in rows:
        cells = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()]
        print(" ".join(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
