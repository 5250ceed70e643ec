"""The signature of each fusion method: parameters, weights, normalisation, and its paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from hybrid.errors import UsageError

Norm = Literal["minmax", "tmm", "max", "sum", "zscore", "dbsf", "rank", "borda", "none"]
NORM_NAMES: tuple[str, ...] = get_args(Norm)
SINGLE = "single"


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters, weights and normalisation that a method takes.

    Attributes:
        parameters: name to (default, least, greatest).
        weights: whether ``alpha`` or ``weights`` may be given.
        norm: the default normalisation; "" where the method reads ranks only.
        summary: the formula in words, and its paper.
        linear: whether the fused score is a sum over branches of the weight of a branch times a
            number that no weight is in.
        breaks_ties: whether a norm may be given to a method that reads ranks; it breaks ties.
    """

    parameters: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    weights: bool = False
    norm: str = ""
    summary: str = ""
    linear: bool = False
    breaks_ties: bool = False

    @property
    def mean(self) -> bool:
        """Whether it is a weighted mean of scores, of some kind: the weights count by their sum."""
        return self.weights and bool(self.norm)

    @property
    def convex(self) -> bool:
        """Whether it is a convex combination of normalised scores."""
        return self.linear and self.mean


_FOX = "Fox and Shaw, TREC-2 1994"
METHODS: dict[str, Signature] = {
    "cc": Signature(
        weights=True,
        norm="tmm",
        summary="weighted mean of scores; Bruch et al., TOIS 2023",
        linear=True,
    ),
    "rrf": Signature(
        {"k": (60.0, 0.0, 1e6)},
        weights=True,
        summary="sum of w / (k + rank); Cormack et al., SIGIR 2009",
        linear=True,
        breaks_ties=True,
    ),
    "isr": Signature(
        weights=True,
        summary="retrieving branches times sum of 1 / rank^2; Mourao 2015",
        linear=True,
    ),
    "logisr": Signature(
        {"sigma": (0.01, 0.0, 1.0)},
        weights=True,
        summary="log(sigma + retrieving branches) times 1 / rank^2",
        linear=True,
    ),
    "rbc": Signature(
        {"p": (0.8, 0.0, 1.0)},
        weights=True,
        summary="sum of (1 - p) p^(rank - 1); Bailey et al., SIGIR 2017",
        linear=True,
    ),
    "borda": Signature(
        weights=True, summary="sum of Borda points; Aslam and Montague, SIGIR 2001", linear=True
    ),
    "condorcet": Signature(
        summary="pairwise majorities won; Montague and Aslam, CIKM 2002 (Copeland order)"
    ),
    "combsum": Signature(norm="minmax", summary=f"sum of scores; {_FOX}", linear=True),
    "combmnz": Signature(norm="minmax", summary=f"sum times retrieving branches; {_FOX}"),
    "combanz": Signature(norm="minmax", summary=f"mean over retrieving branches; {_FOX}"),
    "combmax": Signature(norm="minmax", summary=f"greatest over retrieving branches; {_FOX}"),
    "combmin": Signature(norm="minmax", summary=f"least over retrieving branches; {_FOX}"),
    "combmed": Signature(norm="minmax", summary=f"median over retrieving branches; {_FOX}"),
    "gmean": Signature(weights=True, norm="tmm", summary="weighted geometric mean of scores"),
    "hmean": Signature(weights=True, norm="tmm", summary="weighted harmonic mean of scores"),
}
_SINGLE = Signature(summary="one branch alone, its scores untouched")


def signature(method: str) -> Signature:
    """Return the signature of a method; one branch alone takes nothing.

    Raises:
        UsageError: there is no such method; lists those that there are.
    """
    if method == SINGLE:
        return _SINGLE
    if method not in METHODS:
        raise UsageError(
            f"fusion method {method!r} is unknown; give a branch name or one of "
            f"{', '.join(METHODS)}"
        )
    return METHODS[method]


def accepted_arguments(method: str) -> list[str]:
    """Return the names of the arguments that a method takes.

    >>> accepted_arguments("rrf")
    ['k', 'alpha', 'weights', 'norm', 'branches', 'depth']
    """
    taken = signature(method)
    names = list(taken.parameters)
    names += ["alpha", "weights"] if taken.weights else []
    names += ["norm"] if taken.norm or taken.breaks_ties else []
    return [*names, "branches", "depth"]
