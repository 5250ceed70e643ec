"""How far the predictions of ``hybrid estimate`` miss what was measured.

    python benchmarks/scaling.py

The constants come from the committed results of the smallest and the largest size that were
measured (``docs/results/sparse_engines-*.json``); the size between them is held out. Latency is one
thread's exact top 10. Of the sparse branch it is a time of the call and one for each term of the
query, document, and posting of these terms. A small branch is swept, in a large one blocks of
documents are skipped, after 8 microseconds and 0.6 a term of choosing, the planner's own figures
(``hybrid/kernels/sparse/planner.py``). So both ways have costs of their own: those of a sweep go
through its four measured times, and what is left of the skipping at the largest size gives its
costs a document and posting. Of the flat dense branch latency is a time for each number of a vector
(``living-*.json``), from 100,000 documents, with 300,000 held out. Beyond the largest size it is an
extrapolation.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from hybrid.build.estimate import DENSE_MS, MADE_NNZ, Line, on_line, sparse_ms

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SIZES = ("10k", "100k", "1m")
KINDS = ("symmetric", "inference-free")
CHOOSING_MS = (0.008, 0.0006)
"""A query and a term of choosing the blocks to skip."""


def measured(size: str, kind: str, engine: str = "ours") -> dict[str, Any]:
    """Return the row of our engine's exact top 10 at one size."""
    rows = json.loads((RESULTS / f"sparse_engines-{size}.json").read_text())
    return next(r for r in rows if (r["engine"], r["kind"], r["k"]) == (engine, kind, 10))


def size_line() -> Line:
    """Return size by weights, through the smallest and the largest branch."""
    small, large = (measured(size, KINDS[0]) for size in (SIZES[0], SIZES[-1]))
    first, last = ((row["docs"] * MADE_NNZ, row["index_mb"]) for row in (small, large))
    return first, last


def query_of(row: dict[str, Any]) -> tuple[float, float, float]:
    """Return the terms of a query, the documents, and the postings of the terms."""
    return row["query_terms"], row["docs"], row["postings"]


def sparse_costs() -> tuple[list[float], list[float]]:
    """Return the costs of a call, term, document and posting, swept and with blocks skipped."""
    rows = [measured(size, kind, "ours@exhaustive") for size in SIZES[::2] for kind in KINDS]
    swept = np.linalg.solve([[1, *query_of(row)] for row in rows], [row["p50_ms"] for row in rows])
    fixed = swept[:2] + CHOOSING_MS
    large = [measured(SIZES[-1], kind) for kind in KINDS]
    left = [row["p50_ms"] - fixed @ (1, row["query_terms"]) for row in large]
    rest = np.linalg.solve([query_of(row)[1:] for row in large], left)
    return swept.tolist(), [*fixed.tolist(), *rest.tolist()]


def dense_ms(size: str) -> float:
    """Return the measured time of a flat search over 384 dimensions."""
    found = json.loads((RESULTS / f"living-{size}.json").read_text())["splade"]["processes"]
    return median(process["dense_top10_ms"]["one"] for process in found)


def checked() -> list[str]:
    """Return the table of what is predicted and what was measured, in Markdown."""
    lines = [
        "| figure | documents | predicted | measured | off by | in the fit |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for kind in KINDS:
        for size in SIZES:
            row = measured(size, kind)
            ms = sparse_ms(*query_of(row))
            figures = [(f"sparse top 10, ms, {kind} queries", ms, row["p50_ms"])]
            if kind == "symmetric":
                mb = on_line(row["docs"] * MADE_NNZ, size_line())
                figures.insert(0, ("sparse branch, MB", mb, row["index_mb"]))
            for name, predicted, found in figures:
                lines.append(
                    f"| {name} | {row['docs']:,} | {predicted:.3g} | {found:.3g} | "
                    f"{predicted / found - 1:+.0%} | {'no' if size == SIZES[1] else 'yes'} |"
                )
    for size, documents in {"100k": 100_000, "300k": 300_000}.items():
        ms, found = on_line(documents * 384, DENSE_MS), dense_ms(size)
        lines.append(
            f"| dense top 10, ms, flat | {documents:,} | {ms:.3g} | {found:.3g} | "
            f"{ms / found - 1:+.0%} | {'no' if size == '300k' else 'yes'} |"
        )
    return [*lines[:2], *sorted(lines[2:], key=lambda line: "MB" not in line)]


if __name__ == "__main__":
    print("\n".join(checked()))
