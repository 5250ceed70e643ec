"""The search: untuned baselines, exact lines between two branches, Optuna, then one choice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.evaluate import Judged
from hybrid.evaluate.bench import Bench, FloatArray, weighted_sum
from hybrid.fusion import METHODS, Fusion
from hybrid.fusion.methods import combine
from hybrid.tune.line import Curve, alpha_curve
from hybrid.tune.options import TuneOptions
from hybrid.tune.optuna_search import StudyOutcome
from hybrid.tune.space import Line, Space, complexity, weighted_fusion

LINE_K = (5.0, 20.0, 60.0, 150.0)
Queries = NDArray[np.int64]


@dataclass(frozen=True)
class Choice:
    """The fusion that the search chose.

    Attributes:
        fusion: the simplest fusion within one standard error of the best.
        best: the fusion of greatest mean.
        tried: how many fusions were measured, lines counted as one.
        importance: of Optuna's parameters; empty without trials.
    """

    fusion: Fusion
    best: Fusion
    tried: int
    importance: Mapping[str, float] = field(default_factory=dict)


class Search:
    """The whole procedure, from judged queries to one fusion, which cross-validation repeats.

    Args:
        bench: measures fusions.
        space: what to choose from.
        options: how many trials, and how they are drawn and kept.
        shrink: where given, makes the choice from few labels and a prior; see ``tune.prior``.
        progress: called with the number of newly finished trials.
    """

    def __init__(
        self,
        bench: Bench,
        space: Space,
        options: TuneOptions,
        *,
        shrink: Shrink | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.bench = bench
        self.space = space
        self.options = options
        self.shrink = shrink
        self.progress = progress
        self._curves: dict[Line, Curve] = {}

    def __reduce__(self) -> tuple[Callable[..., Search], tuple[object, ...]]:
        # What another process needs: not the caches, the doc_ids or the progress bar.
        judged = self.bench.judged
        plain = replace(judged, pool=replace(judged.pool, doc_ids=()))
        return _restored, (plain, self.bench.measure, self.space, self.options, self.shrink)

    def lines(self) -> list[Line]:
        """Return every line between two branches."""
        return [
            Line(method, norm, parameters, names, depth)
            for names in self.space.sets()
            if len(names) == 2
            for method in self.space.methods
            for norm, parameters in self._variants(method)
            for depth in (None, *(self.space.depths if norm else ()))
        ]

    def curve(self, line: Line) -> Curve:
        """Return the exact curve of one line over all queries, computed once."""
        if line not in self._curves:
            x, y = self.features(line)
            scorer = self.bench.candidates(line.names, line.depth).scorer
            self._curves[line] = alpha_curve(scorer, x, y)
        return self._curves[line]

    def features(self, line: Line) -> FloatArray:
        """Return the parts that the weights of a line multiply, float64 (branches, candidates)."""
        unweighted = line.unweighted
        found = self.bench.features(unweighted)
        if found is not None:
            return found
        return combine(self.bench.candidates(line.names, line.depth).table, unweighted, line.names)

    def choose(self, queries: Queries, *, seed: int | None = None) -> Choice:
        """Return the fusion that ``queries`` (positions in the bench) speak for.

        With a ``seed`` of its own it is one of many searches, and importance is not computed.
        """
        found = list(self.space.baselines().values())
        found += self._on_lines(queries)
        found += self._on_simplex(queries)
        importance: Mapping[str, float] = {}
        trials = 0
        if self.options.trials and self.space.sets():
            outcome = self.by_optuna(queries, found, seed)
            found.append(outcome.best)
            importance = outcome.importance if seed is None else {}
            trials = outcome.finished + outcome.pruned
        elif self.progress is not None:
            self.progress(1)
        fusions = list({str(fusion): fusion for fusion in found}.values())
        best = max(fusions, key=lambda fusion: self.mean(fusion, queries))
        tried = len(fusions) + trials
        if self.shrink is not None:
            return Choice(self.shrink(self, queries), best, tried, importance)
        return Choice(self._simplest(fusions, best, queries), best, tried, importance)

    def mean(self, fusion: Fusion, queries: Queries) -> float:
        """Return the mean measure of a fusion over ``queries``."""
        return float(self.bench.values(fusion)[queries].mean())

    def _variants(self, method: str) -> Iterable[tuple[str, tuple[tuple[str, float], ...]]]:
        """Return the norms and parameters that the lines of a method are drawn for."""
        taken = METHODS[method]
        if not taken.linear:
            return []
        if taken.norm:
            return [(norm, ()) for norm in self.space.norms]
        if not taken.parameters:
            return [("", ())]
        low, high = self.space.k
        return [("", (("k", k),)) for k in LINE_K if low <= k <= high and "k" in taken.parameters]

    def _on_lines(self, queries: Queries) -> list[Fusion]:
        fusions = []
        for line in self.lines():
            alpha = self.curve(line).stable(queries)
            weights = [1 - alpha, alpha]
            fusions.append(self.on_line(line, weights))
        return fusions

    def _on_simplex(self, queries: Queries) -> list[Fusion]:
        """Return one fusion of three or more branches a normalisation, by coordinate ascent."""
        return [
            self.on_line(line, self._ascend(line, queries))
            for names in self.space.sets()
            if len(names) > 2
            for method in self.space.methods
            if METHODS[method].convex
            for line in [Line(method, norm, (), names) for norm in self.space.norms[:2]]
        ]

    def _ascend(self, line: Line, queries: Queries, sweeps: int = 2) -> list[float]:
        features = self.features(line)
        scorer = self.bench.candidates(line.names, line.depth).scorer
        weights = np.full(len(line.names), 1 / len(line.names))
        for _ in range(sweeps):
            for b in range(len(weights)):
                rest = np.where(np.arange(len(weights)) == b, 0.0, weights)
                rest = rest / rest.sum() if rest.sum() > 0 else rest
                if not rest.any():
                    continue
                curve = alpha_curve(scorer, weighted_sum(rest, features), features[b])
                alpha = curve.stable(queries)
                weights = (1 - alpha) * rest
                weights[b] = alpha
        return [float(weight) for weight in weights]

    def on_line(self, line: Line, weights: list[float]) -> Fusion:
        """Return the fusion at some weights of a line."""
        return weighted_fusion(line, weights, self.space)

    def by_optuna(
        self, queries: Queries, known: list[Fusion], seed: int | None = None
    ) -> StudyOutcome:
        """Return Optuna's outcome on ``queries``, ``known`` fusions tried first."""
        from hybrid.tune.optuna_search import run_study

        options = self.options if seed is None else replace(self.options, seed=seed)
        return run_study(
            self.space,
            lambda fusion: self.bench.values(fusion)[queries],
            options,
            known=[fusion for fusion in known if self.space.holds(fusion)],
            name=self._study_name(queries, options.seed),
            progress=self.progress,
        )

    def _study_name(self, queries: Queries, seed: int) -> str:
        """Return a name that no search over other data, choices or queries has."""
        options = self.options
        if options.storage is None:
            return ""
        judged = self.bench.judged
        pool = judged.pool
        digest = hashlib.sha256(repr((self.space, options.sampler, options.prune)).encode())
        parts: tuple[NDArray[Any], ...] = (pool.offsets, pool.doc_nums, pool.scores, pool.ranks)
        for part in (*parts, pool.minimum, judged.positions, judged.grades, queries):
            digest.update(np.ascontiguousarray(part).tobytes())
        digest.update(repr([grades.tolist() for grades in judged.all_grades]).encode())
        return f"{self.bench.measure}, seed {seed}, {digest.hexdigest()[:16]}"

    def _simplest(self, fusions: list[Fusion], best: Fusion, queries: Queries) -> Fusion:
        """Return the simplest fusion within one standard error of the best; of those the best.

        The error is that of the mean paired difference to the best over ``queries``.
        """
        top = self.bench.values(best)[queries]
        within = []
        for fusion in fusions:
            gap = top - self.bench.values(fusion)[queries]
            error = gap.std(ddof=1) / np.sqrt(len(gap)) if len(gap) > 1 else 0.0
            if gap.mean() <= error:
                within.append((complexity(fusion), float(gap.mean()), fusion))
        return min(within, key=lambda item: item[:2])[2]


Shrink = Callable[[Search, Queries], Fusion]


def _restored(
    judged: Judged, measure: str, space: Space, options: TuneOptions, shrink: Shrink | None
) -> Search:
    return Search(Bench(judged, measure), space, options, shrink=shrink)
