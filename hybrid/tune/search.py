"""The search: untuned baselines, exact lines between two branches, Optuna, then one choice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrid.fusion import Fusion
from hybrid.fusion.methods import COMBINERS
from hybrid.tune.bench import Bench, FloatArray, weighted_sum
from hybrid.tune.line import Curve, alpha_curve
from hybrid.tune.space import Space, complexity, weighted_fusion

LINE_K = (5.0, 20.0, 60.0, 150.0)
Queries = NDArray[np.int64]


@dataclass(frozen=True)
class Line:
    """One way to combine two branches, all but its alpha given."""

    method: str
    norm: str
    parameters: tuple[tuple[str, float], ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """What the search settled on.

    Attributes:
        fusion: the simplest fusion within one standard error of the best.
        best: the fusion of greatest mean.
        tried: how many fusions were measured, lines counted as one.
    """

    fusion: Fusion
    best: Fusion
    tried: int


class Search:
    """The whole procedure, from judged queries to one fusion; it is what cross-validation repeats.

    Args:
        bench: measures fusions.
        space: what to choose from.
        trials: how many fusions Optuna proposes; 0 leaves it out.
        seed: of Optuna's sampler.
        sampler: "tpe" or "gp".
        shrink: where given, makes the choice from few labels and a prior; see ``tune.prior``.
    """

    def __init__(
        self,
        bench: Bench,
        space: Space,
        *,
        trials: int,
        seed: int = 0,
        sampler: str = "tpe",
        shrink: Callable[[Search, Queries], Fusion] | None = None,
    ) -> None:
        self.bench = bench
        self.space = space
        self.trials = trials
        self.seed = seed
        self.sampler = sampler
        self.shrink = shrink
        self._curves: dict[Line, Curve] = {}

    def lines(self) -> list[Line]:
        """Return every line between two branches."""
        return [
            Line(method, norm, parameters, names)
            for names in self.space.sets()
            if len(names) == 2
            for method in self.space.methods
            for norm, parameters in self._variants(method)
        ]

    def curve(self, line: Line) -> Curve:
        """Return the exact curve of one line over all queries, computed once."""
        if line not in self._curves:
            x, y = self.features(line)
            self._curves[line] = alpha_curve(self.bench.view(line.names).scorer, x, y)
        return self._curves[line]

    def features(self, line: Line) -> FloatArray:
        """Return what the weights of a line multiply, float64 (branches, candidates)."""
        if line.method == "cc":
            return self.bench.normalised(line.names, line.norm)
        view, ones = self.bench.view(line.names), np.ones(len(line.names))
        fusion = Fusion(line.method, line.parameters, None, None, line.norm)
        return COMBINERS[line.method](view.table.scores, view.table, ones, fusion)

    def choose(self, queries: Queries, *, seed: int | None = None) -> Choice:
        """Return the fusion that ``queries`` (positions in the bench) speak for."""
        seed = self.seed if seed is None else seed
        found = list(self.space.baselines().values())
        found += self._on_lines(queries)
        found += self._on_simplex(queries)
        if self.trials and self.space.sets():
            found.append(self._by_optuna(queries, found, seed))
        fusions = list({str(fusion): fusion for fusion in found}.values())
        best = max(fusions, key=lambda fusion: self.mean(fusion, queries))
        tried = len(fusions) + self.trials
        if self.shrink is not None:
            return Choice(self.shrink(self, queries), best, tried)
        return Choice(self._simplest(fusions, best, queries), best, tried)

    def mean(self, fusion: Fusion, queries: Queries) -> float:
        """Return the mean measure of a fusion over ``queries``."""
        return float(self.bench.values(fusion)[queries].mean())

    def _variants(self, method: str) -> Iterable[tuple[str, tuple[tuple[str, float], ...]]]:
        if method == "cc":
            return [(norm, ()) for norm in self.space.norms]
        if method == "rrf":
            low, high = self.space.k
            return [("", (("k", k),)) for k in LINE_K if low <= k <= high]
        return [("", ())] if method in {"isr", "borda"} else []

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
            for line in [Line("cc", norm, (), names) for norm in self.space.norms[:2]]
            if "cc" in self.space.methods
        ]

    def _ascend(self, line: Line, queries: Queries, sweeps: int = 2) -> list[float]:
        features = self.features(line)
        scorer = self.bench.view(line.names).scorer
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
        parameters = line.parameters
        return weighted_fusion(line.method, line.norm, parameters, line.names, weights, self.space)

    def _by_optuna(self, queries: Queries, known: list[Fusion], seed: int) -> Fusion:
        from hybrid.tune.optuna_search import optimise

        return optimise(
            self.space,
            lambda fusion: self.mean(fusion, queries),
            enqueue=[f for f in known if f.method in self.space.methods],
            trials=self.trials,
            seed=seed,
            sampler=self.sampler,
        )

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
