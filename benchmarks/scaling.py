"""What an index of any size takes, by measured constants, and how far these miss what was measured.

    python benchmarks/scaling.py                                         # predicted and measured
    python benchmarks/scaling.py --documents 1e9 --nnz 120 --dim 384     # one size

The constants come from the committed results of the smallest and the largest size that were
measured (``docs/results/sparse_engines-*.json``); the size between them is held out. Latency is one
thread's exact top 10. Of the sparse branch it is a fixed time and a time for each posting of the
query's terms; of the flat dense branch a time for each number of a vector (``living-*.json``), from
100,000 documents, with 300,000 held out. Beyond the largest size it is an extrapolation.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

RESULTS = Path(__file__).parents[1] / "docs" / "results"
SIZES = ("10k", "100k", "1m")
GENERATED_NNZ = 124
"""Weights of a document of benchmarks/sparse_vectors.py."""


@dataclass(frozen=True)
class Costs:
    """Constants: bytes of a posting and of an index whatever its size, ms of a query."""

    posting_bytes: float
    fixed_bytes: float
    posting_ms: float
    fixed_ms: float


def measured(size: str, kind: str) -> dict[str, Any]:
    """Return the row of our engine's exact top 10 at one size."""
    rows = json.loads((RESULTS / f"sparse_engines-{size}.json").read_text())
    return next(r for r in rows if (r["engine"], r["kind"], r["k"]) == ("ours", kind, 10))


def fitted(kind: str) -> Costs:
    """Return the costs through the smallest and the largest size."""
    small, large = measured(SIZES[0], kind), measured(SIZES[-1], kind)
    bytes_each = 1e6 * (large["index_mb"] - small["index_mb"])
    bytes_each /= GENERATED_NNZ * (large["docs"] - small["docs"])
    ms_each = (large["p50_ms"] - small["p50_ms"]) / (large["postings"] - small["postings"])
    return Costs(
        bytes_each,
        1e6 * small["index_mb"] - bytes_each * GENERATED_NNZ * small["docs"],
        ms_each,
        small["p50_ms"] - ms_each * small["postings"],
    )


def dense_ms(size: str) -> float:
    """Return the measured time of a flat search over 384 dimensions."""
    found = json.loads((RESULTS / f"living-{size}.json").read_text())["splade"]["processes"]
    return median(process["dense_top10_ms"]["one"] for process in found)


def dense_ms_each() -> float:
    """Return the time of one number of a vector."""
    return dense_ms("100k") / (100_000 * 384)


def checked() -> list[str]:
    """Return the table of what is predicted and what was measured, in Markdown."""
    lines = [
        "| figure | documents | predicted | measured | off by | in the fit |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for kind in ("symmetric", "inference-free"):
        costs = fitted(kind)
        for size in SIZES:
            row = measured(size, kind)
            ms = costs.fixed_ms + costs.posting_ms * row["postings"]
            figures = [(f"sparse top 10, ms, {kind} queries", ms, row["p50_ms"])]
            if kind == "symmetric":
                mb = (costs.fixed_bytes + costs.posting_bytes * GENERATED_NNZ * row["docs"]) / 1e6
                figures.insert(0, ("sparse branch, MB", mb, row["index_mb"]))
            for name, predicted, found in figures:
                lines.append(
                    f"| {name} | {row['docs']:,} | {predicted:.3g} | {found:.3g} | "
                    f"{predicted / found - 1:+.0%} | {'no' if size == SIZES[1] else 'yes'} |"
                )
    for size, documents in {"100k": 100_000, "300k": 300_000}.items():
        ms, found = dense_ms_each() * documents * 384, dense_ms(size)
        lines.append(
            f"| dense top 10, ms, flat | {documents:,} | {ms:.3g} | {found:.3g} | "
            f"{ms / found - 1:+.0%} | {'no' if size == '300k' else 'yes'} |"
        )
    return [*lines[:2], *sorted(lines[2:], key=lambda line: "MB" not in line)]


def estimated(documents: float, nnz: float, dim: int) -> list[str]:
    """Return what one size takes, in Markdown."""
    costs, row = fitted("symmetric"), measured(SIZES[-1], "symmetric")
    share = row["postings"] / (row["docs"] * GENERATED_NNZ)
    sparse = costs.fixed_bytes + costs.posting_bytes * nnz * documents
    dense = 4 * dim * documents
    ms = costs.fixed_ms + costs.posting_ms * share * nnz * documents
    return [
        "| documents | sparse GB | dense GB | sparse top 10, ms | dense top 10, ms |",
        "|---:|---:|---:|---:|---:|",
        f"| {documents:,.0f} | {sparse / 1e9:,.1f} | {dense / 1e9:,.1f} | "
        f"{ms:,.1f} | {dense_ms_each() * dim * documents:,.0f} |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=float)
    parser.add_argument("--nnz", type=float, default=120, help="weights of a document")
    parser.add_argument("--dim", type=int, default=384, help="of a vector, float32")
    options = parser.parse_args()
    if options.documents is None:
        print("\n".join(checked()))
    else:
        print("\n".join(estimated(options.documents, options.nnz, options.dim)))


if __name__ == "__main__":
    main()
