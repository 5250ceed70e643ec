"""Compare sparse search engines on the same vectors, interleaved in one run, one thread each.

    python benchmarks/sparse_engines.py --docs 100000 --queries 100 --k 10,1000 \
        --engines ours,scipy --json results.json

Every engine runs in a process of its own; peers may need an interpreter of their own
(``--python seismic=/path/to/python``). ``name@variant`` measures another way to search the same
index: ours@exhaustive, pisa@block_max_maxscore, seismic@20:1.0 (query_cut:heap_factor). Recall is
against the exact float32 ranking, a document of the same score as the k-th counting as found.
``exact`` says that an engine returned, on the first queries, the best scores that its own stored
(perhaps rounded) weights allow.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, load_npz, save_npz, vstack

sys.path.insert(0, str(Path(__file__).parent))

CHECKED = 10
CHUNK = 5


class Worker:
    def __init__(self, name: str, python: str, data: Path) -> None:
        self.name = name
        root = Path(__file__).resolve().parent
        env = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}
        if python == sys.executable:
            env["PYTHONPATH"] = os.pathsep.join([str(root.parent), env.get("PYTHONPATH", "")])
        else:
            env.pop("PYTHONPATH", None)
        command = [python, str(root / "sparse_workers.py"), name, str(data)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        self.facts = self.read()

    def read(self) -> dict:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, **order: object) -> dict:
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def vectors(args: argparse.Namespace) -> tuple[csr_matrix, dict[str, csr_matrix]]:
    if args.vectors:
        queries = load_npz(args.vectors / "queries.npz").tocsr().astype(np.float32)
        documents = load_npz(args.vectors / "documents.npz").tocsr().astype(np.float32)
        found = {"real": queries[: args.queries]}
    else:
        import sparse_vectors

        parts = list(sparse_vectors.documents(args.docs, args.seed))
        documents = vstack(parts, format="csr", dtype=np.float32)
        found = {kind: sparse_vectors.queries(kind, args.queries, args.seed) for kind in args.kinds}
    documents.sort_indices()
    return documents, found


def top_scores(columns: csc_matrix, query: csr_matrix) -> np.ndarray:
    chosen = columns[:, query.indices]
    return np.asarray(chosen @ query.data, dtype=np.float32)


def recall(scores: np.ndarray, found: list[int], k: int) -> float:
    """Return the share of the k best that was found; ties with the k-th count."""
    k = min(k, int((scores > 0).sum()))
    if not k:
        return 1.0
    floor = np.partition(scores, len(scores) - k)[len(scores) - k]
    nums = np.array([num for num in found if num >= 0], dtype=np.int64)[:k]
    return float((scores[nums] >= floor * np.float32(1 - 1e-6)).sum() / k)


def measure(args: argparse.Namespace, data: Path) -> list[dict]:
    documents, queries = vectors(args)
    np.save(data / "data.npy", documents.data)
    np.save(data / "indices.npy", documents.indices.astype(np.int32))
    np.save(data / "indptr.npy", documents.indptr.astype(np.int64))
    (data / "shape.json").write_text(json.dumps(list(documents.shape)))
    for kind, matrix in queries.items():
        save_npz(data / f"queries-{kind}.npz", matrix)
    pythons = dict(pair.split("=", 1) for pair in args.python)
    workers: dict[str, Worker] = {}
    for name in dict.fromkeys(engine.split("@")[0] for engine in args.engines):
        began = time.perf_counter()
        python = pythons.get(name, pythons.get(name.split("-")[0], sys.executable))
        try:
            workers[name] = Worker(name, python, data)
        except RuntimeError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        print(f"{name} ready after {time.perf_counter() - began:.1f} s", file=sys.stderr)
    engines = [name for name in args.engines if name.split("@")[0] in workers]
    columns = documents.tocsc()
    postings = np.diff(columns.indptr)
    rows = []
    for kind, matrix in queries.items():
        touched = [int(postings[matrix[row].indices].sum()) for row in range(matrix.shape[0])]
        for k in args.k:
            times: dict[str, list[list[float]]] = {name: [] for name in engines}
            found: dict[str, list[list[int]]] = {name: [] for name in engines}
            peak: dict[str, float] = {}
            for sweep in range(args.sweeps + 1):  # the first sweep warms up and keeps the answers
                swept: dict[str, list[float]] = {name: [] for name in engines}
                for first in range(0, matrix.shape[0], CHUNK):
                    numbers = list(range(first, min(first + CHUNK, matrix.shape[0])))
                    turn = first // CHUNK % len(engines)  # nobody is always first, or after one
                    for name in engines[turn:] + engines[:turn]:
                        base, _, variant = name.partition("@")
                        answer = workers[base].ask(
                            do="run",
                            kind=kind,
                            rows=numbers,
                            k=k,
                            keep=sweep == 0,
                            variant=variant,
                        )
                        swept[name] += answer["times"]
                        peak[name] = answer["peak_rss_mb"]
                        if sweep == 0:
                            found[name] += answer["found"]
                if sweep:
                    for name, values in swept.items():
                        times[name].append(values)
            truth = [top_scores(columns, matrix[row]) for row in range(matrix.shape[0])]
            for name in engines:
                facts = workers[name.split("@")[0]].facts
                per_query = np.median(np.array(times[name]), axis=0) * 1000
                shares = [recall(truth[row], found[name][row], k) for row in range(len(truth))]
                rows.append(
                    {
                        "engine": name,
                        "version": facts["version"],
                        "docs": documents.shape[0],
                        "kind": kind,
                        "k": k,
                        "p50_ms": round(float(np.percentile(per_query, 50)), 4),
                        "p99_ms": round(float(np.percentile(per_query, 99)), 4),
                        "recall": round(float(np.mean(shares)), 4),
                        "exact": None,
                        "build_s": round(facts["build_s"], 2),
                        "index_mb": round(facts["index_mb"], 1),
                        "peak_rss_mb": round(peak[name], 0),
                        "mean_ms": round(float(per_query.mean()), 4),
                        "query_terms": round(matrix.nnz / matrix.shape[0], 1),
                        "postings": int(np.median(touched)),
                    }
                )
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
            answers.setdefault((kind, k), found)
    if not args.no_check:
        check(workers, queries, data, documents.shape, rows)
    for worker in workers.values():
        worker.close()
    return rows


answers: dict[tuple[str, int], dict[str, list[list[int]]]] = {}


def check(
    workers: dict[str, Worker],
    queries: dict[str, csr_matrix],
    data: Path,
    shape: tuple[int, int],
    rows: list[dict],
) -> None:
    """Fill ``exact``: the scores returned are the best over the weights that the engine stores."""
    for worker in workers.values():
        mine = [row for row in rows if row["engine"].split("@")[0] == worker.name]
        if worker.name.startswith(("seismic", "faiss", "bm25s")):
            for row in mine:
                row["exact"] = False if worker.name.startswith("seismic") else None
                row["recall"] = row["recall"] if worker.name.startswith("seismic") else None
            continue
        steps = worker.ask(do="stored")["steps"]
        load = [
            np.load(data / f"stored-{worker.name}-{p}.npy") for p in ("data", "indices", "indptr")
        ]
        stored = csc_matrix(tuple(load), shape=shape)
        for row in mine:
            matrix = queries[row["kind"]].copy()
            if row["kind"] in steps:
                matrix.data = np.maximum(np.rint(matrix.data / steps[row["kind"]]), 1)
            fine = True
            for number in range(min(CHECKED, matrix.shape[0])):
                scores = top_scores(stored, matrix[number])
                nums = answers[row["kind"], row["k"]][row["engine"]][number]
                fine &= recall(scores, nums, row["k"]) == 1.0
            row["exact"] = fine
        for part in ("data", "indices", "indptr"):
            (data / f"stored-{worker.name}-{part}.npy").unlink()


def machine() -> dict[str, object]:
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version()}


def bandwidth() -> float:
    """Return the bytes a second that one core reads from memory, best of five sums of 256 MB."""
    block = np.ones(32_000_000, dtype=np.float64)
    best = 0.0
    for _ in range(5):
        began = time.perf_counter()
        block.sum()
        best = max(best, block.nbytes / (time.perf_counter() - began))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--k", type=lambda text: [int(k) for k in text.split(",")], default=[10])
    parser.add_argument("--engines", type=lambda text: text.split(","), default=["ours", "scipy"])
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--vectors", type=Path, help="folder with documents.npz and queries.npz")
    parser.add_argument(
        "--kinds", type=lambda text: text.split(","), default=["symmetric", "inference-free"]
    )
    parser.add_argument("--python", action="append", default=[], metavar="ENGINE=PATH")
    parser.add_argument("--sweeps", type=int, default=3, help="timed passes over the queries")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-check", action="store_true", help="leave `exact` empty")
    parser.add_argument("--folder", type=Path, help="where temporary files go")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="engines-", dir=args.folder) as folder:
        rows = measure(args, Path(folder))
    facts = {**machine(), "read_gb_s": round(bandwidth() / 1e9, 1)}
    for row in rows:
        # What an exhaustive search must read at least: one 8-bit place and one 8-bit weight each.
        row["limit_ms"] = round(row["postings"] * 2 / facts["read_gb_s"] / 1e6, 4)
        row["machine"] = facts
    args.json.write_text(json.dumps(rows, indent=1) + "\n")
    for row in rows:
        print(
            f"{row['engine']:16} {row['kind']:15} k={row['k']:<5} p50 {row['p50_ms']:8.3f} "
            f"p99 {row['p99_ms']:8.3f} recall {row['recall']} exact {row['exact']} "
            f"build {row['build_s']} s index {row['index_mb']} MB"
        )


if __name__ == "__main__":
    main()
