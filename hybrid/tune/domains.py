"""Several domains: one fusion each, how each fares on the others, and one for unknown domains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.corpus.checks import check_name
from hybrid.errors import UsageError
from hybrid.evaluate import judge
from hybrid.evaluate.bench import Bench
from hybrid.fusion import Fusion
from hybrid.fusion.pool import Pool
from hybrid.tune.options import TuneOptions
from hybrid.tune.prior import Prior, learn_prior
from hybrid.tune.rerank import Reranking
from hybrid.tune.search import Search
from hybrid.tune.space import DEFAULT, Space
from hybrid.tune.tuner import tune
from hybrid.tune.verdict import TuneResult

POOLED = "pooled"
UNTUNED = "default"
FEW = 50


@dataclass(frozen=True)
class Domain:
    """A name, candidates and judgments; and a reranker whose weight is tuned after the fusion."""

    name: str
    pool: Pool
    qrels: Mapping[str, Mapping[str, int]]
    rerank: Reranking | None = None


@dataclass(frozen=True)
class DomainsResult:
    """The result of tuning over several domains.

    Attributes:
        results: domain to its own result.
        pooled: the fusion for domains that are unknown: the best on the mean over domains, or the
            default where pooling is not ahead of it on that mean, each domain measured by a fusion
            pooled without it. The means are compared; no test is made.
        rows: what was tuned on: each domain, then "pooled" and "default".
        columns: what was measured on: each domain.
        transfer: float64 (rows, columns). On the diagonal the held-out value of the domain's own
            procedure; in the row "pooled" the value of a fusion pooled without that domain.
        searches: domain to its exact curves.
    """

    results: Mapping[str, TuneResult]
    pooled: Fusion
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    transfer: NDArray[np.float64]
    searches: Mapping[str, Search]

    def prior(self) -> Prior:
        """Return the prior of these domains, for another domain with few labels."""
        return learn_prior(list(self.searches.values()))

    def lines(self) -> list[str]:
        """Return the verdict of each domain and the pooled fusion as lines of text."""
        text = []
        for name, result in self.results.items():
            text += [f"{name}:", *(f"  {line}" for line in result.lines())]
        return [*text, f"unknown domains: {self.pooled}"]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON data."""
        return {
            "domains": {name: result.to_dict() for name, result in self.results.items()},
            "pooled": str(self.pooled),
            "transfer": {
                row: dict(zip(self.columns, map(float, values), strict=True))
                for row, values in zip(self.rows, self.transfer, strict=True)
            },
        }


def tune_domains(
    domains: Sequence[Domain],
    options: TuneOptions | None = None,
    *,
    progress: Callable[[int], None] | None = None,
) -> DomainsResult:
    """Return one tuned fusion a domain, the transfer between them, and the pooled one.

    A domain of fewer than 50 judged queries takes the other domains as its prior, where there are
    two or more. The pooled fusion is the default unless pooling beats it on the mean over domains,
    each measured by a fusion that was pooled without it.

    Raises:
        UsageError: fewer than two domains, a name twice or reserved, or pools of other branches.
    """
    options = options or TuneOptions()
    names = tuple(domain.name for domain in domains)
    check_names(names)
    check_branches([domain.pool.branches for domain in domains])
    space = Space.of(*(domain.pool for domain in domains))
    searches = {
        d.name: Search(Bench(judge(d.pool, d.qrels), options.measure), space, options.lines_alone)
        for d in domains
    }
    others = {name: [s for n, s in searches.items() if n != name] for name in names}
    results = {
        d.name: tune(
            d.pool,
            d.qrels,
            options,
            space=space,
            prior=_prior(searches[d.name], others[d.name]),
            rerank=d.rerank,
            progress=progress,
        )
        for d in domains
    }
    rows = []
    for name in names:
        own = [search.bench.values(results[name].tuned).mean() for search in searches.values()]
        own[names.index(name)] = results[name].held_out
        rows.append(own)
    rows.append([searches[n].bench.values(pooled_fusion(others[n])).mean() for n in names])
    rows.append([search.bench.values(DEFAULT).mean() for search in searches.values()])
    pooling_ahead = np.mean(rows[-2]) > np.mean(rows[-1])
    return DomainsResult(
        results=results,
        pooled=pooled_fusion(list(searches.values())) if pooling_ahead else DEFAULT,
        rows=(*names, POOLED, UNTUNED),
        columns=names,
        transfer=np.array(rows, dtype=np.float64),
        searches=searches,
    )


def check_branches(branches: Sequence[tuple[str, ...]]) -> None:
    """Do nothing if every domain has the same branches.

    Raises:
        UsageError: one has others.
    """
    if len(set(branches)) > 1:
        raise UsageError("the domains have other branches; build each index with the same ones")


def check_names(names: Sequence[str]) -> None:
    """Refuse names that cannot stand side by side in one result.

    Raises:
        UsageError: fewer than two, one twice or unusable, or "pooled" or "default", which are other
            rows of the transfer table.
    """
    for name in names:
        check_name("the name of a domain", name)
    if len(names) < 2 or len(set(names)) < len(names):
        raise UsageError(f"domains {', '.join(names) or 'none'}: give two or more, each once")
    for name, what in ((POOLED, "pooled"), (UNTUNED, "untuned")):
        if name in names:
            raise UsageError(
                f"{name!r} names the {what} fusion beside several domains; give the domain another "
                "name"
            )


def _prior(search: Search, others: Sequence[Search]) -> Prior | None:
    few = len(search.bench.judged) < FEW
    return learn_prior(others) if few and len(others) > 1 and search.lines() else None


def pooled_fusion(searches: Sequence[Search]) -> Fusion:
    """Return the fusion of greatest mean over domains, each domain counting alike.

    Considered are the baselines, every line at alpha 0, .01, ... 1, and where there are three
    branches or more what each domain chose.
    """
    first = searches[0]
    found = list(first.space.baselines().values())
    lines = first.lines()
    if lines:
        grids = [np.stack([s.curve(line).grid.mean(axis=0) for line in lines]) for s in searches]
        means = np.mean(grids, axis=0)
        for row, line in enumerate(lines):
            alpha = float(np.argmax(means[row])) / (means.shape[1] - 1)
            found.append(first.on_line(line, [1 - alpha, alpha]))
    if len(first.space.branches) > 2:
        found += [s.choose(np.arange(len(s.bench.judged))).fusion for s in searches]

    def macro(fusion: Fusion) -> float:
        return float(np.mean([search.bench.values(fusion).mean() for search in searches]))

    return max(found, key=macro)
