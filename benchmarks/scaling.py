"""How far the predictions of ``hybrid estimate`` miss what was measured.

    python benchmarks/scaling.py
    python benchmarks/scaling.py --plot docs/images/scaling.svg

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

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from hybrid.build.estimate import (
    DENSE_MS,
    MADE_NNZ,
    POSTGRESQL_MS,
    EstimateOptions,
    Line,
    estimate,
    on_line,
    sparse_ms,
)

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


def plot(path: Path) -> None:
    """Draw size and time by documents, with the measured points, as SVG."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams |= {"svg.hashsalt": "scaling", "svg.fonttype": "none", "font.size": 9}
    from matplotlib import pyplot as plt

    sizes = np.geomspace(1e4, 1e9, 16)
    places = [estimate(EstimateOptions(documents=n, nnz=MADE_NNZ)).places for n in sizes]
    folders, databases = ([each[name] for each in places] for name in ("machine", "postgresql"))
    rows = [measured(size, "symmetric") for size in SIZES]
    flat = {100_000: dense_ms("100k"), 300_000: dense_ms("300k")}
    drawn, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.2))
    left.plot(sizes, [each.sparse_bytes / 1e9 for each in folders], "C0", label="sparse")
    left.plot(sizes, [each.dense_bytes / 1e9 for each in folders], "C1", label="dense, flat")
    left.plot([r["docs"] for r in rows], [r["index_mb"] / 1e3 for r in rows], "C0o", ms=4)
    right.plot(sizes, [each.sparse_ms for each in folders], "C0", label="sparse")
    right.plot(sizes, [each.dense_ms for each in folders], "C1", label="dense, flat")
    right.plot([r["docs"] for r in rows], [r["p50_ms"] for r in rows], "C0o", ms=4)
    right.plot(list(flat), list(flat.values()), "C1o", ms=4)
    for branch, colour in {"sparse": "C2", "dense": "C3"}.items():
        times = [getattr(each, f"{branch}_ms") or np.nan for each in databases]
        right.plot(sizes, times, colour, ls="--", label=f"PostgreSQL, {branch}")
        right.plot(*zip(*POSTGRESQL_MS[branch], strict=True), f"{colour}o", ms=4)
    left.set(title="size", ylabel="GB")
    right.set(title="top 10, one thread", ylabel="ms", ylim=(0.02, 1e11))
    for axes in (left, right):
        axes.set(xscale="log", yscale="log", xlabel="documents")
        axes.minorticks_off()
        axes.grid(True, lw=0.3)
        axes.legend(loc="upper left")
    drawn.tight_layout()
    drawn.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", type=Path, help="draw it to this SVG")
    given = parser.parse_args()
    if given.plot:
        plot(given.plot)
    else:
        print("\n".join(checked()))
