"""The table of every fusion on held-out queries, each against the best branch alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hybrid.evaluate.bench import Bench
from hybrid.evaluate.significance import bootstrap_intervals, compare_paired
from hybrid.fusion import METHODS, NORMS, Fusion, cc, single
from hybrid.report.tables import Cell, Table

FloatArray = NDArray[np.float64]


def every_fusion(branches: Sequence[str]) -> list[Fusion]:
    """Return each branch alone, each method untuned, and the convex mean under each norm.

    The means stand for all weighted sums of scores, which order as they do without weights.

    >>> [str(fusion) for fusion in every_fusion(["bm25", "dense"])][:3]
    ['bm25', 'dense', 'rrf(k=60)']
    """
    if len(branches) < 2:
        return [single(name) for name in branches]
    others = [Fusion(name) for name, taken in METHODS.items() if not (taken.linear and taken.norm)]
    means = [cc(norm=norm) for norm in NORMS]
    return [*(single(name) for name in branches), *others, *means]


def fusion_table(
    bench: Bench,
    *,
    title: str,
    tuned: Mapping[str, tuple[str, FloatArray]] | None = None,
    seed: int = 0,
) -> Table:
    """Return one row a fusion, best first: mean, interval, difference from the best branch, p.

    Every fusion that is not in ``tuned`` has no chosen number, so all queries are held out for it.
    The p are of the randomisation test, Holm-corrected over the table.

    Args:
        bench: over the queries to report on.
        title: of the table.
        tuned: row name to (printed fusion, float64 (queries,) held-out values).
        seed: of bootstrap and test.
    """
    values = {str(fusion): bench.values(fusion) for fusion in every_fusion(bench.branches)}
    best = max(bench.branches, key=lambda name: float(bench.values(single(name)).mean()))
    printed = dict.fromkeys(values, "")
    for name, (fusion, held_out) in (tuned or {}).items():
        values[name], printed[name] = held_out, fusion
    intervals = dict(
        zip(values, bootstrap_intervals(np.stack(list(values.values())), seed=seed), strict=True)
    )
    others = [name for name in values if name != best]
    found = compare_paired(-values[best], [-values[name] for name in others], seed=seed)
    differences = dict(zip(others, found, strict=True))
    rows: list[tuple[Cell, ...]] = []
    for name in sorted(values, key=lambda name: -float(values[name].mean())):
        low, high = intervals[name]
        difference = differences.get(name)
        rest: tuple[Cell, ...] = (None, None, None, None)
        if difference is not None:
            rest = (difference.mean, difference.low, difference.high, difference.p_holm)
        shown = f"{name}: {printed[name]}" if printed[name] else name
        rows.append((shown, float(values[name].mean()), low, high, *rest))
    return Table(
        title,
        ("fusion", bench.measure, "low", "high", f"against {best}", "low ", "high ", "p (Holm)"),
        tuple(rows),
    )
