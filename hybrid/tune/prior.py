"""A prior from other domains: the gain of each fusion there, worth so many queries here.

With few labels the gain of a fusion over the default is noisy. The other domains say what to
expect: the posterior mean of a normal prior, (n own + m prior) / (n + m), where m, in queries, is
the variance between queries over the variance between domains. James and Stein; Efron and Morris.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError
from hybrid.fusion import Fusion
from hybrid.machine.files import write_new
from hybrid.tune.line import GRID
from hybrid.tune.search import Queries, Search
from hybrid.tune.space import DEFAULT, Line

FloatArray = NDArray[np.float64]
STRENGTH = (5.0, 500.0)
KIND = "hybrid prior 1"


@dataclass(frozen=True)
class Prior:
    """The gain of every fusion on the lines in other domains.

    Attributes:
        lines: the lines, as ``Search.lines`` gives them.
        gains: float64 (lines, 101), mean gain over the default at alpha 0, .01, ... 1.
        strength: how many judged queries the prior is worth.
        domains: from how many domains it was learned.
    """

    lines: tuple[Line, ...]
    gains: FloatArray
    strength: float
    domains: int

    def to_dict(self) -> dict[str, Any]:
        """Return the prior as JSON data."""
        return {
            "kind": KIND,
            "strength": self.strength,
            "domains": self.domains,
            "lines": [asdict(line) for line in self.lines],
            "gains": self.gains.tolist(),
        }

    def write(self, path: str | Path) -> None:
        """Write the prior as JSON; refuses an existing file."""
        write_new(path, json.dumps(self.to_dict(), allow_nan=False) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> Prior:
        """Return the prior that ``write`` wrote.

        Raises:
            UsageError: no such file, or one of another kind.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            if data["kind"] != KIND:
                raise ValueError(f"its kind is {data['kind']!r}")
            lines = tuple(
                Line(
                    each["method"],
                    each["norm"],
                    tuple((name, float(value)) for name, value in each["parameters"]),
                    tuple(each["names"]),
                    each["depth"],
                )
                for each in data["lines"]
            )
            gains = np.array(data["gains"], dtype=np.float64)
            if gains.shape != (len(lines), GRID) or not np.isfinite(gains).all():
                raise ValueError(f"its gains have shape {gains.shape}")
            return cls(lines, gains, float(data["strength"]), int(data["domains"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{path} is no prior ({error}); give a file that `hybrid tune --save-prior` wrote"
            ) from error


def learn_prior(searches: Sequence[Search], *, strength: float | None = None) -> Prior:
    """Return the prior of several domains, one ``Search`` each, over the same space.

    Args:
        searches: every query of each counts; domains count alike, whatever their size.
        strength: in queries; learned from the spread between domains where None, which needs two.

    Raises:
        UsageError: no domain, other branches, or one domain without a strength.
    """
    if not searches or (len(searches) < 2 and strength is None):
        raise UsageError(
            f"{len(searches)} domains were given; give two or more, or one and a strength"
        )
    lines = tuple(searches[0].lines())
    if any(tuple(search.lines()) != lines for search in searches):
        raise UsageError("the domains have other branches; tune each set of branches by itself")
    gains = [_gains(search, lines) for search in searches]
    means = np.stack([own.mean(axis=0) for own in gains])
    if strength is None:
        between_queries = np.stack([own.var(axis=0) for own in gains])
        counts = np.array([len(own) for own in gains])[:, None, None]
        noise = (between_queries / counts).mean(axis=0)
        between_domains = np.maximum(means.var(axis=0, ddof=1) - noise, 1e-12)
        ratio = between_queries.mean(axis=0) / between_domains
        strength = float(np.clip(np.median(ratio), *STRENGTH))
    return Prior(lines, means.mean(axis=0), strength, len(searches))


def shrunk_choice(search: Search, queries: Queries, prior: Prior) -> Fusion:
    """Return the fusion of greatest expected gain, given ``queries`` and the prior.

    Among those that are equal the one nearest to alpha 0.5.

    Raises:
        UsageError: the prior was learned over lines that this search does not have.
    """
    unknown = [line for line in prior.lines if line not in search.lines()]
    if unknown:
        raise UsageError(
            f"the prior speaks of {', '.join(unknown[0].names)} with norm {unknown[0].norm!r} at "
            f"depth {unknown[0].depth or 'all'}, which cannot be chosen here; learn it from "
            "indexes with the same branches and depth"
        )
    own = _gains(search, prior.lines)[queries].sum(axis=0)
    expected = (own + prior.strength * prior.gains) / (len(queries) + prior.strength)
    off_centre = np.abs(np.arange(GRID) - GRID // 2)
    expected = expected - 1e-9 * off_centre
    line, column = np.unravel_index(int(np.argmax(expected)), expected.shape)
    alpha = float(column) / (GRID - 1)
    return search.on_line(prior.lines[int(line)], [1 - alpha, alpha])


def _gains(search: Search, lines: Sequence[Line]) -> FloatArray:
    """Return each query's gain over the default, float64 (queries, lines, 101)."""
    default = search.bench.values(DEFAULT)
    return np.stack([search.curve(line).grid - default[:, None] for line in lines], axis=1)
