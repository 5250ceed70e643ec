"""A weight for each query, learned from query features; kept only where it wins.

The model is linear in a few standardised features of the query and of the branches' scores, see
``fusion.learned``. It learns from the exact curves: a query's target is how much more its measure
gains to the right of the common alpha than to the left. Ridge keeps it small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError
from hybrid.evaluate.significance import Difference, compare_paired
from hybrid.fusion import METHODS, Fusion, Slope, cc, table_features
from hybrid.fusion.signatures import LEARNED
from hybrid.fusion.table import FloatArray
from hybrid.tune.line import GRID, Curve
from hybrid.tune.search import Search
from hybrid.tune.space import Line

REACH = 30
STEPS = (0.0, 0.5, 1.0, 2.0, 4.0)
RIDGE = 10.0
SIGNIFICANT = 0.05
COMMON = "common weight"
VERDICT = "verdict"


@dataclass(frozen=True)
class PerQueryModel:
    """alpha of a query = ``centre`` + ``step`` times ``weights`` . standardised features.

    Attributes:
        line: what alpha mixes.
        centre: the common alpha.
        step: how far the model may move it; 0 leaves it.
        names: of the features.
        mean, scale, weights: float64 (features,).
    """

    line: Line
    centre: float
    step: float
    names: tuple[str, ...]
    mean: FloatArray
    scale: FloatArray
    weights: FloatArray

    def alphas(self, features: FloatArray) -> FloatArray:
        """Return alpha for each row of ``features`` (queries, features), from 0 to 1."""
        moved = ((features - self.mean) / self.scale) @ self.weights
        return np.clip(self.centre + self.step * moved, 0.0, 1.0)

    def fusion(self) -> Fusion:
        """Return the model as a fusion, its numbers to four digits."""
        slopes = tuple(
            Slope(name, float(f"{self.step * w / s:.4g}"), float(f"{m:.4g}"))
            for name, m, s, w in zip(self.names, self.mean, self.scale, self.weights, strict=True)
            if abs(self.step * w) > 1e-6
        )
        names, norm = self.line.names, self.line.norm
        if not slopes:
            return cc(self.centre, norm=norm, branches=names)
        return Fusion(LEARNED, (), self.centre, None, norm, names, None, slopes)


@dataclass(frozen=True)
class PerQueryResult:
    """The learned fusion and whether it may be used.

    Attributes:
        fusion: fitted to all queries.
        held_out: mean of the per-query weights on queries that they were not fitted to.
        difference: of those held-out values from the held-out "common weight" and from what the
            "verdict" would use without it, Holm-corrected.
        keep: whether both differences are positive and significant.
    """

    fusion: Fusion
    held_out: float
    difference: Mapping[str, Difference]
    keep: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return {
            "fusion": str(self.fusion),
            "held_out": self.held_out,
            "keep": self.keep,
            "difference": {name: found.to_dict() for name, found in self.difference.items()},
        }

    def line(self) -> str:
        """Return the result as a line of text."""
        shown = ", ".join(
            f"{found.mean:+.4f} [{found.low:+.4f}, {found.high:+.4f}], p {found.p_holm:.3g} "
            f"against the {name}"
            for name, found in self.difference.items()
        )
        kept = "kept" if self.keep else "not kept"
        return f"a weight for each query: {kept}; held out {self.held_out:.4f}, {shown} (Holm)"


def learn_per_query(search: Search, reference: FloatArray | None = None) -> PerQueryResult:
    """Return the per-query fusion of the two branches whose exact line is best, cross-validated.

    Each fold chooses its line, too, on the queries that it is fitted to.

    Args:
        search: over the judged queries; its options give the folds, and the seed of folds and test.
        reference: held-out values, float64 (queries,), of what would be used otherwise.

    Raises:
        UsageError: fewer than two branches, or values of other queries.
    """
    count = len(search.bench.judged)
    lines = [line for line in search.lines() if METHODS[line.method].convex and line.depth is None]
    if not lines or (reference is not None and reference.shape != (count,)):
        shape = None if reference is None else reference.shape
        raise UsageError(
            f"{len(search.space.branches)} branches and reference values {shape} were given; "
            f"expected two branches or more and ({count},)"
        )
    features = {
        names: table_features(search.bench.candidates(names).table, names)
        for names in {line.names for line in lines}
    }

    def fitted(queries: NDArray[np.int64]) -> tuple[PerQueryModel, Curve, FloatArray]:
        line = max(lines, key=lambda each: search.curve(each).best(queries)[1])
        curve, found = search.curve(line), features[line.names]
        values = np.stack(list(found.values()), axis=1)
        return _fit(line, curve, tuple(found), values, queries), curve, values

    folds, seed = search.options.folds, search.options.seed
    own, common = np.zeros(count), np.zeros(count)
    order = np.random.default_rng(seed).permutation(count)
    for part in np.array_split(order, min(folds, count)):
        model, curve, values = fitted(np.sort(np.setdiff1d(order, part)))
        own[part] = _at(curve, part, model.alphas(values[part]))
        common[part] = _at(curve, part, np.full(len(part), model.centre))
    baselines = {COMMON: common} | ({} if reference is None else {VERDICT: reference})
    differences = compare_paired(own, list(baselines.values()), seed=seed)
    keep = all(each.mean > 0 and each.p_holm < SIGNIFICANT for each in differences)
    fusion = fitted(np.arange(count))[0].fusion()
    return PerQueryResult(
        fusion=fusion,
        held_out=float(own.mean()),
        difference=dict(zip(baselines, differences, strict=True)),
        keep=keep and bool(fusion.slopes),
    )


def _fit(
    line: Line,
    curve: Curve,
    names: tuple[str, ...],
    features: FloatArray,
    queries: NDArray[np.int64],
) -> PerQueryModel:
    centre = curve.stable(queries)
    mean, scale = features[queries].mean(axis=0), features[queries].std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    x = (features[queries] - mean) / scale
    middle = round(centre * (GRID - 1))
    right = curve.grid[queries, middle : middle + REACH].mean(axis=1)
    left = curve.grid[queries, max(0, middle - REACH) : middle + 1].mean(axis=1)
    slope = right - left
    gram = x.T @ x + RIDGE * np.eye(len(names))
    weights = np.linalg.solve(gram, x.T @ (slope - slope.mean()))
    found = [PerQueryModel(line, centre, step, names, mean, scale, weights) for step in STEPS]
    means = [_at(curve, queries, model.alphas(features[queries])).mean() for model in found]
    return found[int(np.argmax(means))]


def _at(curve: Curve, queries: NDArray[np.int64], alphas: FloatArray) -> FloatArray:
    columns = np.rint(alphas * (GRID - 1)).astype(np.int64)
    return np.asarray(curve.grid[queries, columns])
