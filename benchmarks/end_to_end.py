"""Text in, ten documents out: this library beside systems that people use, with the same models.

    python benchmarks/end_to_end.py CORPUS ... --docs 10000 --json docs/results/end-to-end.json \
        --page docs/results/end-to-end.md

CORPUS is a BEIR folder or stdlib; several follow each other, and the first has the queries. The
built-in sparse model, MiniLM and BM25 are fused by reciprocal ranks (k=60) of the first 100 of
each. What is encoded and built is kept in ``--work`` and used again; of more than ``--real``
documents the rest are made of those (see end_to_end_data.py). Every system is built in a process of
its own, then all are open at once and asked in turn, a few queries each, in random order. Recall is
against the fusion of exact float32 lists; a document of the same score as the tenth counts as
found. Memory is what opening and searching add to a process that has loaded its models.

``--page`` makes a page of all runs in the JSON file. Peers: requirements-peers.txt, in an
environment that has this library, too; ``--peers PYTHON`` names it. A peer that cannot be built is
left out and named.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from end_to_end_data import BRANCHES, prepare, recall

NAMES = (
    "ours",
    "ours-onnx",
    "qdrant",
    "milvus-lite",
    "by hand",
    "ours, two",
    "ours-onnx, two",
    "lancedb",
)
CHUNK, CLIENTS = 5, (1, 8)


class Worker:
    """A process with one open system."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts: dict[str, Any] = {}

    def read(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args} ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, **order: Any) -> dict[str, Any]:
        """Return the answer to an order."""
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self) -> None:
        """End the process."""
        self.process.kill()  # threads of a peer may never end
        self.process.wait(60)


def command(given: argparse.Namespace, do: str, name: str, data: Path) -> list[str]:
    """Return the command of one system; both backends of ours search one index."""
    python = sys.executable if name.startswith("ours") else given.peers
    store = given.work / f"stores-{given.docs}" / name.replace("-onnx", "").replace(" ", "-")
    script = Path(__file__).with_name("end_to_end_systems.py")
    return [python, str(script), do, name, str(data), str(store)]


def started(given: argparse.Namespace, data: Path) -> dict[str, Worker]:
    """Return the systems that could be built and opened, built one after the other."""
    built: dict[str, dict[str, Any]] = {}
    for name in given.systems:
        order = command(given, "build", name, data)
        store = Path(order[-1])
        facts = store / "facts.json"
        if not facts.is_file():
            shutil.rmtree(store, ignore_errors=True)
            store.mkdir(parents=True)
            try:
                limit = given.build_limit
                done = subprocess.run(order, stdout=subprocess.PIPE, text=True, timeout=limit)
                facts.write_text(json.dumps(json.loads(done.stdout)))
            except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
                continue
        built[order[-1]] = json.loads(facts.read_text())
        print(f"{name}: {built[order[-1]]}", file=sys.stderr, flush=True)
    workers = {}
    for name in given.systems:
        order = command(given, "serve", name, data)
        if order[-1] in built:
            workers[name] = Worker(order)
    for name, worker in workers.items():  # they load their models side by side
        worker.facts = worker.read() | built[command(given, "serve", name, data)[-1]]
    return workers


def measure(given: argparse.Namespace, data: Path) -> list[dict[str, Any]]:
    """Return one row a system."""
    texts = json.loads((data / "queries.json").read_text())[: given.queries]
    exact = json.loads((data / "exact.json").read_text())
    workers = started(given, data)
    names, rng = list(workers), np.random.default_rng(0)
    total: dict[str, list[float]] = {name: [] for name in names}
    alone, cpu = ({name: list(each) for name, each in total.items()} for _ in range(2))
    found: dict[str, list[list[int]]] = {name: [] for name in names}
    for worker in workers.values():
        worker.ask(texts=texts[:CHUNK])  # caches are warm
    end = time.monotonic() + given.limit
    for sweep, first in product(range(given.sweeps), range(0, len(texts), CHUNK)):
        if time.monotonic() > end:
            break
        for name in rng.permutation(names).tolist():
            answer = workers[name].ask(texts=texts[first : first + CHUNK])
            workers[name].facts["memory_mb"] = answer["memory_mb"]
            total[name] += answer["total"]
            alone[name] += answer["alone"]
            cpu[name].append(answer["cpu"])
            if sweep == 0:
                found[name] += answer["found"]
    rows = []
    for name in names:
        kind = "two" if name.endswith("two") or name == "lancedb" else "three"
        shares = [recall(exact[at][kind], each) for at, each in enumerate(found[name])]
        p50, p95 = np.quantile(total[name], [0.5, 0.95]) * 1e3
        rates = {}
        if name.startswith("ours"):
            for clients in CLIENTS:
                asked = workers[name].ask(texts=texts, clients=clients)
                rates[f"queries_s_{clients}"] = round(asked["rate"], 1)
        rows.append(
            {
                "system": name,
                "queries": len(found[name]),
                "branches": len(BRANCHES) if kind == "three" else 2,
                "p50_ms": round(float(p50), 2),
                "p95_ms": round(float(p95), 2),
                "encode_p50_ms": round(float(np.median(alone[name])) * 1e3, 2),
                "cpu_ms": round(float(np.median(cpu[name])) * 1e3, 2),
                "recall": round(float(np.mean(shares)), 4),
                **workers[name].facts,
                **rates,
            }
        )
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    for worker in workers.values():
        worker.close()
    return rows


COLUMNS = {
    "system": "system",
    "branches": "branches",
    "p50 ms": "p50_ms",
    "p95 ms": "p95_ms",
    "encoding alone, p50 ms": "encode_p50_ms",
    "processor ms": "cpu_ms",
    "recall": "recall",
    "memory MB": "memory_mb",
    "build s": "build_s",
    "processor s of it": "build_cpu_s",
    "disk MB": "disk_mb",
    "queries/s of 1 and 8 clients": "rates",
}


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table of one run."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for row in rows:
        rates = [
            f"{row[f'queries_s_{each}']:.0f}" for each in CLIENTS if f"queries_s_{each}" in row
        ]
        cells = row | {"rates": ", ".join(rates), "disk_mb": round(row["disk_mb"])}
        lines.append("| " + " | ".join(str(cells[each]) for each in COLUMNS.values()) + " |")
    return "\n".join(lines)


def page(runs: list[dict[str, Any]], written: str) -> str:
    """Return the page: the tables of all runs, and what was written by hand below the line."""
    parts = ["# Text in, ten documents out, beside other systems", __doc__.split("\n\n")[2]]
    for run in runs:
        versions = {row["system"].split(",")[0]: row["version"] for row in run["rows"]}
        parts += [
            f"## {run['docs']:,} documents, {run['real']:,} of them real",
            f"{run['rows'][0]['queries']} queries, {run['cores']} cores at a load of "
            f"{run['load']:.0f}; "
            + ", ".join(f"{name} {each}" for name, each in versions.items())
            + ".",
            table(run["rows"]),
        ]
    return "\n\n".join(parts) + "\n\n" + written


MARK = "## How to read it"


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpora", nargs="*", help="left out: the page alone", metavar="CORPUS")
    parser.add_argument("--docs", type=int, default=10_000)
    parser.add_argument("--real", type=int, default=10_000, help="documents that are encoded")
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--sweeps", type=int, default=2, help="passes over the queries")
    parser.add_argument("--limit", type=float, default=1e9, help="seconds after which asking ends")
    parser.add_argument("--work", type=Path, default=Path("runs/end_to_end"))
    parser.add_argument("--systems", type=lambda text: text.split("/"), default=NAMES)
    parser.add_argument("--peers", default=sys.executable, help="Python that has the peers")
    parser.add_argument("--build-limit", type=float, default=600, help="seconds for one system")
    parser.add_argument("--json", type=Path, default=Path("docs/results/end-to-end.json"))
    parser.add_argument("--page", type=Path)
    given = parser.parse_args()
    runs = json.loads(given.json.read_text()) if given.json.is_file() else []
    if given.corpora:
        data = given.work / str(given.docs)
        real = prepare(given.corpora, data, given.docs, given.real, given.queries)
        facts = {"docs": given.docs, "real": real}
        facts |= {"load": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}
        run = facts | {"rows": measure(given, data)}
        runs = [each for each in runs if each["docs"] != given.docs] + [run]
        runs.sort(key=lambda each: each["docs"])
        given.json.write_text(json.dumps(runs, indent=1) + "\n")
    if given.page is not None:
        old = given.page.read_text() if given.page.is_file() else ""
        given.page.write_text(page(runs, old[old.find(MARK) :] if MARK in old else ""))


if __name__ == "__main__":
    main()
