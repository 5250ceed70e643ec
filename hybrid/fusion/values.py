"""Fusion values: what a fusion is, apart from how it is computed. The printed form parses back."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError

Norm = Literal["minmax", "tmm", "max", "sum", "zscore", "dbsf", "rank", "borda", "none"]
NORM_NAMES: tuple[str, ...] = get_args(Norm)
SINGLE = "single"


@dataclass(frozen=True, slots=True)
class Signature:
    """What a method takes.

    Attributes:
        parameters: name to (default, least, greatest).
        weights: whether ``alpha`` or ``weights`` may be given.
        norm: the default normalisation; "" where the method reads ranks only.
        summary: the formula in words, and its paper.
    """

    parameters: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    weights: bool = False
    norm: str = ""
    summary: str = ""


_FOX = "Fox and Shaw, TREC-2 1994"
METHODS: dict[str, Signature] = {
    "cc": Signature(
        weights=True, norm="tmm", summary="weighted mean of scores; Bruch et al., TOIS 2023"
    ),
    "rrf": Signature(
        {"k": (60.0, 0.0, 1e6)}, True, "", "sum of w / (k + rank); Cormack et al., SIGIR 2009"
    ),
    "isr": Signature({}, True, "", "retrieving branches times sum of 1 / rank^2; Mourao 2015"),
    "logisr": Signature(
        {"sigma": (0.01, 0.0, 1.0)}, True, "", "log(sigma + retrieving branches) times 1 / rank^2"
    ),
    "rbc": Signature(
        {"p": (0.8, 0.0, 1.0)}, True, "", "sum of (1 - p) p^(rank - 1); Bailey et al., SIGIR 2017"
    ),
    "borda": Signature({}, True, "", "sum of Borda points; Aslam and Montague, SIGIR 2001"),
    "condorcet": Signature(
        {}, False, "", "pairwise majorities won; Montague and Aslam, CIKM 2002 (Copeland order)"
    ),
    "combsum": Signature(norm="minmax", summary=f"sum of scores; {_FOX}"),
    "combmnz": Signature(norm="minmax", summary=f"sum times retrieving branches; {_FOX}"),
    "combanz": Signature(norm="minmax", summary=f"mean over retrieving branches; {_FOX}"),
    "combmax": Signature(norm="minmax", summary=f"greatest over retrieving branches; {_FOX}"),
    "combmin": Signature(norm="minmax", summary=f"least over retrieving branches; {_FOX}"),
    "combmed": Signature(norm="minmax", summary=f"median over retrieving branches; {_FOX}"),
    "gmean": Signature(weights=True, norm="tmm", summary="weighted geometric mean of scores"),
    "hmean": Signature(weights=True, norm="tmm", summary="weighted harmonic mean of scores"),
}
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

    def __post_init__(self) -> None:
        if self.method == SINGLE:
            if self.branches is None or len(self.branches) != 1:
                raise UsageError("a single-branch fusion names exactly one branch")
            _check_branches(self.branches)
            return
        signature = _signature(self.method)
        given = dict(self.parameters)
        for name, value in given.items():
            _check_parameter(self.method, signature, name, value)
        full = {name: given.get(name, bounds[0]) for name, bounds in signature.parameters.items()}
        object.__setattr__(self, "parameters", tuple((n, float(v)) for n, v in full.items()))
        if signature.norm and not self.norm:
            object.__setattr__(self, "norm", signature.norm)
        if self.norm and not signature.norm and self.method != "rrf":
            raise UsageError(f"{self.method} reads ranks and takes no norm; leave norm out")
        if self.norm and self.norm not in NORM_NAMES:
            raise UsageError(
                f"normalisation {self.norm!r} is unknown; give one of {', '.join(NORM_NAMES)}"
            )
        self._check_weights(signature)
        if self.branches is not None:
            _check_branches(self.branches)

    def _check_weights(self, signature: Signature) -> None:
        if (self.alpha is not None or self.weights is not None) and not signature.weights:
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
        from hybrid.fusion.parse import parse_fusion

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
        return f"{self.method}({', '.join(parts)})" if parts else self.method

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
        mean = self.method in {"cc", "gmean", "hmean"}
        return np.full(len(names), 1 / len(names) if mean else 1.0)


def single(branch: str) -> Fusion:
    """Return the fusion that is one branch alone, its scores untouched."""
    return Fusion(SINGLE, branches=(branch,))


def rrf(
    k: float = 60, *, weights: Mapping[str, float] | None = None, alpha: float | None = None
) -> Fusion:
    """Return reciprocal rank fusion, sum of w / (k + rank). Cormack et al., SIGIR 2009."""
    return Fusion("rrf", (("k", float(k)),), alpha, _pairs(weights))


def cc(
    alpha: float | None = None,
    *,
    norm: str = "tmm",
    weights: Mapping[str, float] | None = None,
    branches: Sequence[str] | None = None,
) -> Fusion:
    """Return the convex combination of normalised scores. Bruch et al., TOIS 2023.

    >>> str(cc(weights={"bm25": 0.2, "dense": 0.8}, norm="minmax"))
    'cc(weights=(bm25:0.2, dense:0.8), norm=minmax)'
    """
    chosen = None if branches is None else tuple(branches)
    return Fusion("cc", (), alpha, _pairs(weights), norm, chosen)


def _pairs(weights: Mapping[str, float] | None) -> tuple[tuple[str, float], ...] | None:
    return None if weights is None else tuple((n, float(w)) for n, w in weights.items())


def _signature(method: str) -> Signature:
    if method not in METHODS:
        raise UsageError(
            f"fusion method {method!r} is unknown; give a branch name or one of "
            f"{', '.join(METHODS)}"
        )
    return METHODS[method]


def _check_parameter(method: str, signature: Signature, name: str, value: float) -> None:
    if name not in signature.parameters:
        raise UsageError(
            f"{method} takes no {name!r}; it takes {', '.join(accepted_arguments(method))}"
        )
    _, least, greatest = signature.parameters[name]
    if not least <= value <= greatest:
        raise UsageError(f"{name} of {method} is {value}; give {least:g} to {greatest:g}")


def accepted_arguments(method: str) -> list[str]:
    """Return the names of the arguments that a method takes.

    >>> accepted_arguments("rrf")
    ['k', 'alpha', 'weights', 'norm', 'branches']
    """
    signature = _signature(method)
    names = list(signature.parameters)
    names += ["alpha", "weights"] if signature.weights else []
    names += ["norm"] if signature.norm or method == "rrf" else []
    return [*names, "branches"]


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
