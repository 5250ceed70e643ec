"""Space: the fusions that the tuner may choose from, the baselines, and their simplicity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from hybrid.errors import UsageError
from hybrid.fusion import METHODS, NORMS, Fusion, cc, rrf, single
from hybrid.fusion.pool import Pool

DEFAULT = cc(norm="minmax")
DEPTHS = (50, 200)
WHOLE = "all"


def default_over(names: Sequence[str]) -> Fusion:
    """Return the default fusion of some of the branches, two or more.

    >>> str(default_over(("bm25", "dense")))
    'cc(norm=minmax, branches=(bm25, dense))'
    """
    return replace(DEFAULT, branches=tuple(names))


@dataclass(frozen=True)
class Line:
    """One way to combine branches, all but their weights given; ``depth`` None takes the pool."""

    method: str
    norm: str
    parameters: tuple[tuple[str, float], ...]
    names: tuple[str, ...]
    depth: int | None = None

    @property
    def unweighted(self) -> Fusion:
        """The fusion of the line whose branches count alike."""
        return Fusion(
            self.method, self.parameters, norm=self.norm, branches=self.names, depth=self.depth
        )


@dataclass(frozen=True)
class Space:
    """Fusions to choose from.

    Attributes:
        branches: every branch of the pool.
        methods: weighted methods to try.
        norms: normalisations for methods that read scores.
        subsets: whether a fusion may leave branches out.
        k: least and greatest k of reciprocal rank fusion, searched on a log scale.
        depths: how many first documents of each branch to take, beside all of the pool.
    """

    branches: tuple[str, ...]
    methods: tuple[str, ...] = ("cc", "rrf")
    norms: tuple[str, ...] = ("tmm", "minmax", "zscore")
    subsets: bool = True
    k: tuple[float, float] = (1.0, 200.0)
    depths: tuple[int, ...] = ()

    @classmethod
    def of(cls, *pools: Pool) -> Space:
        """Return every choice that all pools allow: no tmm where a branch has no least score."""
        bounded = all(np.isfinite(pool.minimum).all() for pool in pools)
        norms = tuple(norm for norm in cls.norms if bounded or norm != "tmm")
        depths = tuple(depth for depth in DEPTHS if all(depth < pool.depth for pool in pools))
        return cls(pools[0].branches, norms=norms, depths=depths)

    def __post_init__(self) -> None:
        weighted = {name for name, signature in METHODS.items() if signature.weights}
        for given, accepted, what in (
            (self.methods, weighted, "method"),
            (self.norms, set(NORMS), "normalisation"),
        ):
            wrong = [name for name in given if name not in accepted]
            if wrong or not given:
                raise UsageError(
                    f"{what} {wrong[0] if wrong else ''!r} cannot be searched; give some of "
                    f"{', '.join(sorted(accepted))}"
                )
        if any(depth < 1 for depth in self.depths):
            raise UsageError(f"depths are {self.depths}; give numbers of 1 or more")

    def sets(self) -> list[tuple[str, ...]]:
        """Return the sets of two or more branches that a fusion may take, the whole one first."""
        if len(self.branches) < 2:
            return []
        smallest = 2 if self.subsets else len(self.branches)
        return [
            names
            for size in range(len(self.branches), smallest - 1, -1)
            for names in combinations(self.branches, size)
        ]

    def baselines(self) -> dict[str, Fusion]:
        """Return name to fusion: each branch alone, then the untuned fusions.

        The default over each smaller set of branches is called by their names.
        """
        alone = {name: single(name) for name in self.branches}
        if len(self.branches) < 2:
            return alone
        theoretical = {"tmm": cc(norm="tmm")} if "tmm" in self.norms else {}
        fewer = {" ".join(names): default_over(names) for names in self.sets()[1:]}
        return {**alone, "minmax": DEFAULT, "rrf": rrf(60), **theoretical, **fewer}

    def holds(self, fusion: Fusion) -> bool:
        """Return whether a trial could suggest ``fusion``."""
        return (
            fusion.method in self.methods
            and (not fusion.reads_scores or fusion.norm in self.norms)
            and (fusion.depth is None or fusion.depth in self.depths)
        )

    def unread(self, fusion: Fusion) -> set[str]:
        """Return the parameters of a trial that ``fusion``, a trial's, does not depend on."""
        unread = set() if fusion.reads_scores else {"norm"}
        return unread if "k" in dict(fusion.parameters) else unread | {"k"}

    def suggest(self, trial: Any) -> Fusion:
        """Return the fusion of one Optuna trial.

        Every trial has every parameter, whether or not its method reads it, so that the sampler
        draws them together and their importance compares.
        """
        sets = self.sets()
        names, norm, parameters, depth = sets[0], self.norms[0], {}, None
        if len(sets) > 1:
            label = trial.suggest_categorical("branches", [" ".join(s) for s in sets])
            names = tuple(label.split(" "))
        method = trial.suggest_categorical("method", list(self.methods))
        if any(METHODS[each].norm for each in self.methods):
            norm = trial.suggest_categorical("norm", list(self.norms))
        if any("k" in METHODS[each].parameters for each in self.methods):
            parameters["k"] = trial.suggest_float("k", *self.k, log=True)
        if self.depths:
            label = trial.suggest_categorical("depth", [WHOLE, *map(str, self.depths)])
            depth = None if label == WHOLE else int(label)
        taken = METHODS[method]
        read = tuple(p for p in parameters.items() if p[0] in taken.parameters)
        line = Line(method, norm if taken.norm else "", read, names, depth)
        return weighted_fusion(line, self._weights(trial, names), self)

    def parameters(self, fusion: Fusion) -> dict[str, Any]:
        """Return the Optuna parameters that suggest ``fusion``, the unread ones at their middle."""
        names = fusion.branch_names(self.branches)
        found: dict[str, Any] = {
            "branches": " ".join(names),
            "method": fusion.method,
            "norm": fusion.norm or self.norms[0],
            "k": dict(fusion.parameters).get("k", min(max(60.0, self.k[0]), self.k[1])),
            "depth": WHOLE if fusion.depth is None else str(fusion.depth),
        }
        weights = fusion.branch_weights(names)
        shares = dict(zip(names, (weights / weights.sum()).tolist(), strict=True))
        if len(self.branches) == 2:
            return found | {"alpha": shares[self.branches[1]]}
        return found | {f"weight {name}": shares.get(name, 0.5) for name in self.branches}

    def _weights(self, trial: Any, names: Sequence[str]) -> list[float]:
        if len(self.branches) == 2:
            alpha = trial.suggest_float("alpha", 0.0, 1.0)
            return [1 - alpha, alpha]
        weights = {n: trial.suggest_float(f"weight {n}", 0.0, 1.0) for n in self.branches}
        return [weights[name] for name in names]


def weighted_fusion(line: Line, weights: Sequence[float], space: Space) -> Fusion:
    """Return the fusion of a line with ``weights``, alpha to 2 places, weights to 3."""
    rounded = tuple((name, float(f"{value:.3g}")) for name, value in line.parameters)
    whole, names = sum(weights), line.names
    shares = [w / whole for w in weights] if whole > 0 else [1 / len(weights)] * len(weights)
    if len(names) == 2:
        chosen = None if len(space.branches) == 2 else tuple(names)
        alpha = round(shares[1], 2)
        return Fusion(line.method, rounded, alpha, None, line.norm, chosen, line.depth)
    table = tuple((name, round(share, 3)) for name, share in zip(names, shares, strict=True))
    return Fusion(line.method, rounded, None, table, line.norm, None, line.depth)


def complexity(fusion: Fusion) -> int:
    """Return 0 for the default, 1 for a branch alone, 2 untuned, 3 and up with chosen numbers.

    The default comes first, so that few labels, which can tell nothing apart, leave it in place.

    >>> complexity(DEFAULT), complexity(single("dense")), complexity(rrf(60)), complexity(cc(0.3))
    (0, 1, 2, 3)
    """
    if fusion == DEFAULT:
        return 0
    return 1 if fusion.is_single else 2 + fusion.chosen_numbers
