"""Experiments on an index: its branches and fusions measured on the judged queries of a source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid.corpus import Source
from hybrid.errors import CorpusError, UsageError
from hybrid.evaluate import Evaluation, evaluate, unmet_expectations
from hybrid.fusion import Fusion, fuse, parse_fusion, rank, rrf, single
from hybrid.pool import Pool
from hybrid.qrels import Qrels
from hybrid.retrieve import DEFAULT_DOMAIN, DEPTH, Index
from hybrid.run import Run
from hybrid.textfile import write_new
from hybrid.tune import TuneResult, tune

RRF = "rrf"
TUNED = "tuned"


@dataclass(frozen=True)
class JudgedPool:
    """The pool of the judged queries of one split, with their judgments."""

    source: str
    split: str
    pool: Pool
    qrels: Qrels


@dataclass(frozen=True)
class System:
    """One way to rank, with the run that it gave and the measures of that run."""

    name: str
    fusion: Fusion
    run: Run
    evaluation: Evaluation


@dataclass(frozen=True)
class SystemsReport:
    """The systems of one index on one set of judged queries."""

    source: str
    split: str
    depth: int
    systems: tuple[System, ...]

    @property
    def query_count(self) -> int:
        """Number of judged queries."""
        return len(self.systems[0].evaluation.query_ids)

    @property
    def measures(self) -> tuple[str, ...]:
        """Names of the measures, as ir_measures prints them."""
        return self.systems[0].evaluation.measures

    def system(self, name: str) -> System:
        """Return a system by name.

        Raises:
            UsageError: there is no such system.
        """
        for system in self.systems:
            if system.name == name:
                return system
        raise UsageError(
            f"system {name!r} was not evaluated; these were: "
            f"{', '.join(system.name for system in self.systems)}"
        )

    def unmet(self, expectations: Sequence[str], *, tolerance: float = 0.0005) -> list[str]:
        """Return one line for each of ``expectations`` that is not met.

        Args:
            expectations: ``system:measure=value``.
            tolerance: how far a measure may be off.
        """
        lines = []
        for text in expectations:
            name, _, expected = text.partition(":")
            found = self.system(name).evaluation.aggregates
            unmet = unmet_expectations(found, [expected], tolerance=tolerance)
            lines += [f"{name}: {line}" for line in unmet]
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON data: ``systems`` maps a name to its measures."""
        return {
            "source": self.source,
            "split": self.split,
            "queries": self.query_count,
            "depth": self.depth,
            "systems": {s.name: dict(s.evaluation.aggregates) for s in self.systems},
            "fusions": {s.name: str(s.fusion) for s in self.systems},
        }

    def write_per_query(self, path: str | Path) -> None:
        """Write one line a query, system and measure, tab-separated; refuses an existing file."""
        lines = ["query_id\tsystem\tmeasure\tvalue\n"]
        for system in self.systems:
            for measure in self.measures:
                values = system.evaluation.per_query(measure).tolist()
                lines += [
                    f"{query_id}\t{system.name}\t{measure}\t{value!r}\n"
                    for query_id, value in zip(system.evaluation.query_ids, values, strict=True)
                ]
        write_new(path, "".join(lines))


def judged_pool(index: Index, source: Source, split: str, *, depth: int = DEPTH) -> JudgedPool:
    """Return the pool over every branch for the judged queries of a split.

    Raises:
        CorpusError: the split has no judged query.
    """
    qrels = source.qrels(split)
    queries = {q.query_id: q.text for q in source.queries(split) if q.query_id in qrels}
    if not queries:
        raise CorpusError(
            f"{source.name} has no judged query in split {split!r}; its splits are "
            f"{', '.join(source.splits()) or 'none'}"
        )
    return JudgedPool(source.name, split, index.pool(queries, depth=depth), qrels)


def evaluate_systems(
    index: Index,
    source: Source,
    *,
    split: str = "test",
    measures: str | Sequence[str] = "nDCG@10",
    fusions: Sequence[str] = (),
    domain: str | None = None,
    depth: int = DEPTH,
) -> SystemsReport:
    """Return the measures of each branch, of RRF, of the tuned fusion, and of ``fusions``.

    Raises:
        CorpusError: the split has no judged query.
        UsageError: an unknown measure, domain or fusion.
    """
    systems = {name: single(name) for name in index.branches}
    if len(index.branches) > 1:
        systems[RRF] = rrf()
    if domain is not None or DEFAULT_DOMAIN in index.domains:
        systems[TUNED] = index.fusion(domain=domain or DEFAULT_DOMAIN)
    for text in fusions:
        parsed = parse_fusion(text)
        systems.pop(str(parsed), None)
        systems[str(parsed)] = parsed
    judged = judged_pool(index, source, split, depth=depth)
    return SystemsReport(
        source.name,
        split,
        judged.pool.depth,
        tuple(_measured(name, fusion, judged, measures) for name, fusion in systems.items()),
    )


def tune_index(
    index: Index,
    source: Source,
    *,
    split: str = "train",
    measure: str = "nDCG@10",
    trials: int | None = None,
    depth: int = DEPTH,
    seed: int = 0,
) -> TuneResult:
    """Return the fusion that the judged queries of a split speak for, and how sure they are.

    Raises:
        CorpusError: the split has no judged query.
        UsageError: an unknown measure, or too few queries.
    """
    judged = judged_pool(index, source, split, depth=depth)
    return tune(judged.pool, judged.qrels, measure, seed=seed, trials=trials)


def _measured(
    name: str, fusion: Fusion, judged: JudgedPool, measures: str | Sequence[str]
) -> System:
    run = rank(judged.pool, fuse(judged.pool, fusion), judged.pool.depth)
    return System(name, fusion, run, evaluate(run, judged.qrels, measures))
