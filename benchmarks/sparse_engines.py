"""Compare sparse search engines on the same vectors, interleaved in one run, one thread each.

    python benchmarks/sparse_engines.py --docs 100000 --queries 100 --k 10,1000 \
        --engines ours,scipy --json results.json

Every engine runs in a process of its own; peers may need an interpreter of their own (see
README.md beside this file; ``--peers PYTHON`` for all of them, ``--python seismic=PYTHON`` for
one). ``name@variant`` measures another way to search the same index: ours@exhaustive,
pisa@block_max_maxscore, seismic@20:1.0 (query_cut:heap_factor). Recall is against the exact float32
ranking, a document of the same score as the k-th counting as found. ``exact`` says that an engine
returned, on the first ten queries, the best scores that its own stored (perhaps rounded) weights
allow. ``p50_ms`` and ``p99_ms`` are over queries, of each query's median over the sweeps.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix, load_npz, save_npz, vstack

sys.path.insert(0, str(Path(__file__).parent))

import sparse_workers

CHECKED = 10
CHUNK = 5
UNCHECKED = ("seismic", "faiss", "bm25s", "ours-dense")
OTHER_RANKING = ("faiss", "bm25s", "ours-dense")  # not the ranking that recall is about

Found = list[list[int]]


class Worker:
    """A process with one engine, asked in lines of JSON."""

    def __init__(self, name: str, python: str, data: Path, limit: float) -> None:
        self.name = name
        root = Path(__file__).resolve().parent
        one = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2", "RAYON_NUM_THREADS": "2"}
        env = {**os.environ, **one}
        if python == sys.executable:
            env["PYTHONPATH"] = os.pathsep.join([str(root.parent), env.get("PYTHONPATH", "")])
        else:
            env.pop("PYTHONPATH", None)
        command = [python, str(root / "sparse_workers.py"), name, str(data)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        if not select.select([self.process.stdout], [], [], limit)[0]:
            self.process.kill()
            raise RuntimeError(f"not built in {limit:.0f} s")
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
    """Return the documents, and the queries by kind."""
    if args.vectors:
        # queries.npz is called symmetric; queries-KIND.npz are other kinds.
        names = {"symmetric": "queries.npz"} | {
            path.stem.removeprefix("queries-"): path.name
            for path in sorted(args.vectors.glob("queries-*.npz"))
        }
        documents = load_npz(args.vectors / "documents.npz").tocsr().astype(np.float32)[: args.docs]
        found = {
            kind: load_npz(args.vectors / name).tocsr().astype(np.float32)[: args.queries]
            for kind, name in names.items()
            if kind in args.kinds
        }
    else:
        import sparse_vectors

        parts = list(sparse_vectors.documents(args.docs or 100_000, args.seed))
        documents = vstack(parts, format="csr", dtype=np.float32)
        found = {kind: sparse_vectors.queries(kind, args.queries, args.seed) for kind in args.kinds}
    documents.sort_indices()
    return documents, found


def write_vectors(data: Path, documents: csr_matrix, queries: dict[str, csr_matrix]) -> None:
    """Lay the vectors where the workers read them."""
    np.save(data / "data.npy", documents.data)
    np.save(data / "indices.npy", documents.indices.astype(np.int32))
    np.save(data / "indptr.npy", documents.indptr.astype(np.int64))
    (data / "shape.json").write_text(json.dumps(list(documents.shape)))
    for kind, matrix in queries.items():
        save_npz(data / f"queries-{kind}.npz", matrix)


def started(args: argparse.Namespace, data: Path) -> dict[str, Worker]:
    """Return the engines that could be built, one after the other."""
    pythons = dict(pair.split("=", 1) for pair in args.python)
    workers: dict[str, Worker] = {}
    for name in dict.fromkeys(engine.split("@")[0] for engine in args.engines):
        began = time.perf_counter()
        python = sys.executable if name.startswith("ours") else args.peers
        try:
            workers[name] = Worker(name, pythons.get(name, python), data, args.build_limit)
        except RuntimeError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        print(f"{name} ready after {time.perf_counter() - began:.1f} s", file=sys.stderr)
    return workers


def timed(
    workers: dict[str, Worker], engines: list[str], kind: str, count: int, k: int, sweeps: int
) -> tuple[dict[str, np.ndarray], dict[str, Found], dict[str, float]]:
    """Return milliseconds (sweeps, queries), answers, and peak memory, by engine."""
    times: dict[str, list[list[float]]] = {name: [] for name in engines}
    found: dict[str, Found] = {name: [] for name in engines}
    peak: dict[str, float] = {}
    rng = np.random.default_rng(k)
    for sweep in range(sweeps + 1):  # the first sweep warms up and keeps the answers
        swept: dict[str, list[float]] = {name: [] for name in engines}
        for first in range(0, count, CHUNK):
            numbers = list(range(first, min(first + CHUNK, count)))
            for name in rng.permutation(engines).tolist():  # nobody always follows the same one
                base, _, variant = name.partition("@")
                order = {"kind": kind, "rows": numbers, "k": k, "variant": variant}
                answer = workers[base].ask(do="run", keep=sweep == 0, **order)
                swept[name] += answer["times"]
                peak[name] = answer["peak_rss_mb"]
                if sweep == 0:
                    found[name] += answer["found"]
        if sweep:
            for name, values in swept.items():
                times[name].append(values)
    return {name: np.array(each) * 1000 for name, each in times.items()}, found, peak


def top_scores(columns: csc_matrix, query: csr_matrix) -> np.ndarray:
    chosen = columns[:, query.indices]
    return np.asarray(chosen @ query.data, dtype=np.float32)


def recall(scores: np.ndarray, found: list[int], k: int) -> float:
    """Return the share of the k best that was found; ties with the k-th count."""
    k = min(k, int((scores > 0).sum()))
    if not k:
        return 1.0
    floor = np.partition(scores, len(scores) - k)[len(scores) - k]
    nums = np.array([num for num in dict.fromkeys(found) if num >= 0], dtype=np.int64)[:k]
    return float((scores[nums] >= floor * np.float32(1 - 1e-6)).sum() / k)


def measure(args: argparse.Namespace, data: Path) -> list[dict]:
    documents, queries = vectors(args)
    write_vectors(data, documents, queries)
    shape = documents.shape
    columns = documents.tocsc()
    del documents
    workers = started(args, data)
    engines = [name for name in args.engines if name.split("@")[0] in workers]
    postings = np.diff(columns.indptr)
    rows, answers = [], {}
    for kind, matrix in queries.items():
        count = matrix.shape[0]
        touched = [int(postings[matrix[row].indices].sum()) for row in range(count)]
        shares: dict[tuple[int, str], list[float]] = {}
        results = {k: timed(workers, engines, kind, count, k, args.sweeps) for k in args.k}
        for row in range(count):
            truth = top_scores(columns, matrix[row])
            for k, (_, found, _) in results.items():
                for name in engines:
                    share = recall(truth, found[name][row], k)
                    shares.setdefault((k, name), []).append(share)
        for k, (times, found, peak) in results.items():
            answers[kind, k] = found
            for name in engines:
                facts = workers[name.split("@")[0]].facts
                per_query = np.median(times[name], axis=0)
                rows.append(
                    {
                        "engine": name,
                        "version": facts["version"],
                        "docs": shape[0],
                        "kind": kind,
                        "k": k,
                        "p50_ms": round(float(np.percentile(per_query, 50)), 4),
                        "p99_ms": round(float(np.percentile(per_query, 99)), 4),
                        "recall": None
                        if name.startswith(OTHER_RANKING)
                        else round(float(np.mean(shares[k, name])), 4),
                        "exact": False if name.startswith("seismic") else None,
                        "build_s": round(facts["build_s"], 2),
                        "index_mb": round(facts["index_mb"], 1),
                        "peak_rss_mb": round(peak[name]),
                        "mean_ms": round(float(per_query.mean()), 4),
                        "rounds": facts["rounds"],
                        "queries": count,
                        "query_terms": round(matrix.nnz / count, 1),
                        "postings": int(np.median(touched)),
                    }
                )
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    if not args.no_check:
        check(workers, queries, answers, data, rows)
    for worker in workers.values():
        worker.close()
    return rows


def check(
    workers: dict[str, Worker],
    queries: dict[str, csr_matrix],
    answers: dict[tuple[str, int], dict[str, Found]],
    data: Path,
    rows: list[dict],
) -> None:
    """Fill ``exact``: the scores returned are the best over the weights that the engine stores."""
    first = {kind: matrix[:CHECKED].copy() for kind, matrix in queries.items()}
    terms = np.unique(np.concatenate([matrix.indices for matrix in first.values()]))
    for worker in workers.values():
        if worker.name.startswith(UNCHECKED):
            continue
        steps = worker.ask(do="stored", terms=terms.tolist())["steps"]
        path = data / f"stored-{worker.name}.npz"
        stored = load_npz(path).tocsc()
        path.unlink()
        for kind, matrix in first.items():
            asked = matrix[:, terms].tocsr()
            if kind in steps:
                asked.data = np.maximum(np.rint(asked.data / steps[kind]), 1)
            truth = [top_scores(stored, asked[number]) for number in range(asked.shape[0])]
            for row in rows:
                if row["kind"] == kind and row["engine"].split("@")[0] == worker.name:
                    found = answers[kind, row["k"]][row["engine"]]
                    row["exact"] = all(
                        recall(scores, nums, row["k"]) == 1.0
                        for scores, nums in zip(truth, found, strict=False)
                    )


def machine() -> dict[str, object]:
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version()}


def bandwidth() -> float:
    """Return the bytes a second that one core reads from memory, best of ten sums of 256 MB."""
    block = np.ones(32_000_000, dtype=np.float64)
    best = 0.0
    for _ in range(10):
        began = time.perf_counter()
        block.sum()
        best = max(best, block.nbytes / (time.perf_counter() - began))
    return best


def names(text: str) -> list[str]:
    return text.split(",")


def numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", type=int, help="default 100,000, or all of --vectors")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--k", type=numbers, default=[10, 1000])
    parser.add_argument("--engines", type=names, default=["ours", "scipy"])
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--vectors", type=Path, help="folder with documents.npz and queries.npz")
    parser.add_argument(
        "--kinds", type=names, default=["symmetric", "inference-free"], help="also terms-N"
    )
    parser.add_argument("--peers", default=sys.executable, help="Python that has the peers")
    parser.add_argument("--python", action="append", default=[], metavar="ENGINE=PATH")
    parser.add_argument("--sweeps", type=int, default=3, help="timed passes over the queries")
    parser.add_argument("--build-limit", type=float, default=600, help="seconds for one engine")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-check", action="store_true", help="leave `exact` empty")
    parser.add_argument("--folder", type=Path, help="where temporary files go")
    args = parser.parse_args()
    known = sparse_workers.ENGINES
    for name in args.engines:
        if name.split("@")[0] not in known:
            parser.error(f"engine {name!r} is unknown; expected one of {', '.join(known)}")
    if args.queries < 1 or args.sweeps < 1 or min(args.k) < 1 or (args.docs or 1) < 1:
        parser.error("--docs, --queries, --k and --sweeps must be at least 1")
    if args.vectors and not (args.vectors / "documents.npz").is_file():
        parser.error(f"{args.vectors} has no documents.npz; see encode_vectors.py")
    return args


def main() -> None:
    args = arguments()
    read = bandwidth()
    with tempfile.TemporaryDirectory(prefix="engines-", dir=args.folder) as folder:
        rows = measure(args, Path(folder))
    facts = {**machine(), "read_gb_s": round(max(read, bandwidth()) / 1e9, 1)}
    for row in rows:
        # What an exhaustive search must read at least: one 8-bit place and one 8-bit weight each.
        row["limit_ms"] = round(row["postings"] * 2 / facts["read_gb_s"] / 1e6, 4)
        row["vectors"] = "encoded" if args.vectors else "generated"
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
