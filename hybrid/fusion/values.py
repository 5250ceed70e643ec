"""Fusion values: a fusion apart from its computation. The printed form parses back."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError, number
from hybrid.fusion.parse import WHOLE, accepted_methods, read_arguments
from hybrid.fusion.signatures import (
    METHODS,
    NORM_NAMES,
    SINGLE,
    Signature,
    accepted_arguments,
    signature,
)

_BRANCH = re.compile(r"[A-Za-z0-9_.\-]+")


@dataclass(frozen=True, slots=True)
class Fusion:
    """One way to make one score of several branches.

    ``alpha`` weighs the last of two branches, ``1 - alpha`` the first. ``weights`` names every
    branch. ``norm`` given to ``rrf`` breaks its ties by the mean normalised score.

    Attributes:
        method: a key of ``METHODS``, or "single" for one branch alone.
        parameters: (name, value) of the method's own parameters, all of them.
        alpha: weight of the last of two branches; None for equal weights or ``weights``.
        weights: (branch, weight) for each branch; only their ratios matter.
        norm: normalisation of scores; "" where scores are not read.
        branches: which branches take part, in order; None for all of the pool.
        depth: how many of the first documents of each branch are candidates; None for all that the
            pool holds.

    Raises:
        UsageError: something unknown, out of range, or given twice; lists what is accepted.

    >>> str(cc(alpha=0.42))
    'cc(alpha=0.42, norm=tmm)'
    >>> Fusion.parse("rrf").parameters
    (('k', 60.0),)
    """

    method: str
    parameters: tuple[tuple[str, float], ...] = ()
    alpha: float | None = None
    weights: tuple[tuple[str, float], ...] | None = None
    norm: str = ""
    branches: tuple[str, ...] | None = None
    depth: int | None = None

    def __post_init__(self) -> None:
        for name in ("alpha", "depth"):
            if getattr(self, name) is not None:
                number(name, getattr(self, name))
        for name, value in (*self.parameters, *(self.weights or ())):
            number(name, value)
        if self.depth is not None and (self.depth < 1 or self.method == SINGLE):
            raise UsageError(
                f"depth is {self.depth} for {self.method!r}; give 1 or more, and none to one "
                "branch alone"
            )
        if self.method == SINGLE:
            if self.branches is None or len(self.branches) != 1:
                raise UsageError("a single-branch fusion names exactly one branch")
            _check_branches(self.branches)
            return
        taken = signature(self.method)
        given = dict(self.parameters)
        for name, value in given.items():
            _check_parameter(self.method, taken, name, value)
        full = {name: given.get(name, bounds[0]) for name, bounds in taken.parameters.items()}
        object.__setattr__(self, "parameters", tuple((n, float(v)) for n, v in full.items()))
        if taken.norm and not self.norm:
            object.__setattr__(self, "norm", taken.norm)
        if self.norm and not (taken.norm or taken.breaks_ties):
            raise UsageError(f"{self.method} reads ranks and takes no norm; leave norm out")
        if self.norm and self.norm not in NORM_NAMES:
            raise UsageError(
                f"normalisation {self.norm!r} is unknown; give one of {', '.join(NORM_NAMES)}"
            )
        self._check_weights(taken)
        if self.branches is not None:
            _check_branches(self.branches)

    def _check_weights(self, taken: Signature) -> None:
        if (self.alpha is not None or self.weights is not None) and not taken.weights:
            weighted = ", ".join(name for name, s in METHODS.items() if s.weights)
            raise UsageError(f"{self.method} takes no weights; methods that do: {weighted}")
        if self.alpha is not None:
            if self.weights is not None:
                raise UsageError("alpha and weights exclude each other; give one of them")
            if not 0 <= self.alpha <= 1:
                raise UsageError(f"alpha is {self.alpha}; give a number from 0 to 1")
        if self.weights is not None:
            names = tuple(name for name, _ in self.weights)
            values = [value for _, value in self.weights]
            _check_branches(names)
            if self.branches is not None and set(self.branches) != set(names):
                raise UsageError(
                    f"weights name {', '.join(names)} and branches name "
                    f"{', '.join(self.branches)}; leave branches out"
                )
            if any(not math.isfinite(v) or v < 0 for v in values) or sum(values) <= 0:
                raise UsageError(f"weights are {values}; give numbers of 0 or more, one positive")

    @classmethod
    def parse(cls, text: str) -> Fusion:
        """Return the fusion that ``text`` prints, for instance ``cc(alpha=0.42, norm=tmm)``.

        Raises:
            UsageError: not a fusion; lists what is accepted.
        """
        return parse_fusion(text)

    def __str__(self) -> str:
        if self.method == SINGLE:
            return self.branches[0] if self.branches else ""
        parts = [f"{name}={_number(value)}" for name, value in self.parameters]
        if self.alpha is not None:
            parts.append(f"alpha={_number(self.alpha)}")
        if self.weights is not None:
            inner = ", ".join(f"{name}:{_number(value)}" for name, value in self.weights)
            parts.append(f"weights=({inner})")
        if self.norm:
            parts.append(f"norm={self.norm}")
        if self.branches is not None:
            parts.append(f"branches=({', '.join(self.branches)})")
        if self.depth is not None:
            parts.append(f"depth={self.depth}")
        return f"{self.method}({', '.join(parts)})" if parts else self.method

    @property
    def is_single(self) -> bool:
        """Whether it is one branch alone."""
        return self.method == SINGLE

    @property
    def signature(self) -> Signature:
        """The signature of its method."""
        return signature(self.method)

    @property
    def reads_scores(self) -> bool:
        """Whether scores are normalised and combined; else ranks are, or there is one branch."""
        return bool(self.signature.norm)

    @property
    def breaks_ties(self) -> bool:
        """Whether it reads ranks, and its ties fall by the mean normalised score."""
        return self.signature.breaks_ties and bool(self.norm)

    @property
    def chosen_numbers(self) -> int:
        """How many of its numbers are other than those it has where none is given."""
        chosen = (self.depth is not None) + (self.alpha not in (None, 0.5))
        chosen += len(self.weights) - 1 if self.weights else 0
        defaults = self.signature.parameters
        return chosen + sum(value != defaults[name][0] for name, value in self.parameters)

    def parameter(self, name: str) -> float:
        """Return one of the method's own parameters."""
        return dict(self.parameters)[name]

    def branch_names(self, available: Sequence[str]) -> tuple[str, ...]:
        """Return the branches that take part, in the order of ``available`` or of ``branches``.

        Raises:
            UsageError: a branch that is not available, or ``alpha`` for other than two branches.
        """
        if self.branches is not None:
            names = self.branches
        elif self.weights is not None:
            named = {name for name, _ in self.weights}
            names = tuple(name for name in available if name in named)
            names += tuple(name for name, _ in self.weights if name not in available)
        else:
            names = tuple(available)
        unknown = [name for name in names if name not in available]
        if unknown:
            accepted = f"branches here: {', '.join(available)}; methods: {', '.join(METHODS)}"
            raise UsageError(f"fusion {str(self)!r} names {unknown[0]!r}; {accepted}")
        if self.alpha is not None and len(names) != 2:
            raise UsageError(
                f"alpha weighs two branches and there are {len(names)} ({', '.join(names)}); give "
                "weights=(name:weight, ...) or branches=(name, name)"
            )
        return names

    def branch_weights(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Return the weight of each of ``names``: 1 for rank methods without weights, else mean."""
        if self.alpha is not None:
            return np.array([1 - self.alpha, self.alpha])
        if self.weights is not None:
            table = dict(self.weights)
            return np.array([table[name] for name in names])
        return np.full(len(names), 1 / len(names) if self.signature.mean else 1.0)

    def branch_shares(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Return the weight of each of ``names`` in a weighted sum."""
        weights = self.branch_weights(names)
        return np.asarray(weights / weights.sum()) if self.signature.convex else weights


def single(branch: str) -> Fusion:
    """Return the fusion that is one branch alone, its scores untouched."""
    return Fusion(SINGLE, branches=(branch,))


def rrf(
    k: float = 60, *, weights: Mapping[str, float] | None = None, alpha: float | None = None
) -> Fusion:
    """Return reciprocal rank fusion, sum of w / (k + rank). Cormack et al., SIGIR 2009."""
    return Fusion("rrf", (("k", number("k", k)),), alpha, _pairs(weights))


def cc(
    alpha: float | None = None,
    *,
    norm: str = "tmm",
    weights: Mapping[str, float] | None = None,
    branches: Sequence[str] | None = None,
    depth: int | None = None,
) -> Fusion:
    """Return the convex combination of normalised scores. Bruch et al., TOIS 2023.

    >>> str(cc(weights={"bm25": 0.2, "dense": 0.8}, norm="minmax"))
    'cc(weights=(bm25:0.2, dense:0.8), norm=minmax)'
    """
    chosen = None if branches is None else tuple(branches)
    return Fusion("cc", (), alpha, _pairs(weights), norm, chosen, depth)


def _pairs(weights: Mapping[str, float] | None) -> tuple[tuple[str, float], ...] | None:
    return None if weights is None else tuple((n, number(n, w)) for n, w in weights.items())


def _check_parameter(method: str, taken: Signature, name: str, value: float) -> None:
    if name not in taken.parameters:
        raise UsageError(
            f"{method} takes no {name!r}; it takes {', '.join(accepted_arguments(method))}"
        )
    _, least, greatest = taken.parameters[name]
    if not least <= value <= greatest:
        raise UsageError(f"{name} of {method} is {value}; give {least:g} to {greatest:g}")


def _check_branches(names: tuple[str, ...]) -> None:
    if not names:
        raise UsageError("a fusion needs at least one branch")
    if len(set(names)) != len(names):
        raise UsageError(f"a branch occurs twice in {', '.join(names)}; name each once")
    for name in names:
        if name in METHODS or not _BRANCH.fullmatch(name):
            raise UsageError(
                f"branch name {name!r} cannot be used: letters, digits, '_', '.' and '-', and not "
                "the name of a fusion method"
            )


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(value)


def parse_fusion(text: str) -> Fusion:
    """Return the fusion that ``text`` prints; a name that is no method is a branch alone.

    Raises:
        UsageError: not a fusion, or an argument that its method does not take; lists what is.

    >>> parse_fusion("cc(weights=(bm25:0.2, sparse:0.3, dense:0.5), norm=tmm)").norm
    'tmm'
    >>> str(parse_fusion("dense"))
    'dense'
    """
    match = WHOLE.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise UsageError(f"{text!r} is no fusion; {accepted_methods()}")
    name, inner = match.groups()
    if name not in METHODS:
        if inner is not None:
            raise UsageError(f"fusion method {name!r} of {text!r} is unknown; {accepted_methods()}")
        return Fusion(SINGLE, branches=(name,))
    return Fusion(name, *read_arguments(text, name, inner or ""))
