"""Systems: each branch, the untuned fusion and the tuned one, measured on the same queries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid.corpus.judged import JudgedQueries
from hybrid.errors import OutputExistsError, UsageError
from hybrid.evaluate.bench import Bench, headroom
from hybrid.evaluate.comparison import (
    Comparison,
    check_compared,
    compare,
    unmet_expectations,
)
from hybrid.evaluate.evaluation import Evaluation, check_measures, evaluate
from hybrid.evaluate.judged import judge
from hybrid.evaluate.judging import Judging
from hybrid.evaluate.names import array_measure
from hybrid.evaluate.options import EvaluateOptions
from hybrid.evaluate.pools import JudgedPool, judged_pool
from hybrid.evaluate.reuse import Reuse, reused_queries, warning
from hybrid.fusion import Fusion, fuse, parse_fusion, rank, rrf, single
from hybrid.fusion.run import Run
from hybrid.index.records import changed_models
from hybrid.machine.files import refusals, write_new
from hybrid.machine.outputs import write_folder
from hybrid.machine.progress import StartProgress, no_progress
from hybrid.search.index import Index
from hybrid.search.options import SearchOptions
from hybrid.search.plan import plan_rerank, stored_domain
from hybrid.search.rerank import rerank
from hybrid.search.view import View

if TYPE_CHECKING:
    from hybrid.build.tasks import Executor

RRF = "rrf"
TUNED = "tuned"
RERANKED = "reranked"


@dataclass(frozen=True)
class System:
    """One way to rank, with the run that it gave and the measures of that run."""

    name: str
    fusion: Fusion
    run: Run
    evaluation: Evaluation


@dataclass(frozen=True)
class SystemsReport:
    """The systems of one index on one set of judged queries.

    Attributes:
        source, split: where the queries come from.
        depth: how deep each branch searched.
        systems: in the order in which they are printed.
        judged: their pool, texts and judgments.
        judging: what counted.
        reuse: how many of the queries the tuned fusion was tuned on.
        other_models: branches that have another model now than when it was tuned.
    """

    source: str
    split: str
    depth: int
    systems: tuple[System, ...]
    judged: JudgedPool
    judging: Judging = field(default_factory=Judging)
    reuse: Reuse = field(default_factory=Reuse)
    other_models: tuple[str, ...] = ()

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
        return self.systems[_place(name, [system.name for system in self.systems])]

    def comparisons(self, baseline: str, *, seed: int = 0) -> list[Comparison]:
        """Return for each measure how far every system is ahead of ``baseline``.

        Raises:
            UsageError: there is no such system.
        """
        self.system(baseline)
        found = {system.name: system.evaluation for system in self.systems}
        return [compare(found, measure, baseline=baseline, seed=seed) for measure in self.measures]

    def headroom(self) -> dict[str, float]:
        """Return the first measure of the best branch, and the best that hindsight could reach.

        Raises:
            UsageError: the measure is not one that arrays can compute, or unjudged candidates
                were left out.
        """
        self.judging.check_headroom()
        return headroom(Bench(judge(self.judged.pool, self.judged.qrels), self.measures[0]))

    def unmet(self, expectations: Sequence[str], *, tolerance: float = 0.0005) -> list[str]:
        """Return one line for each of ``expectations`` that is not met.

        Args:
            expectations: ``system:measure=value``; without a system the last one is meant, whose
                run ``--run`` writes.
            tolerance: how far a measure may be off.
        """
        lines = []
        for text in expectations:
            given, _, expected = text.rpartition(":")
            name = given or self.systems[-1].name
            found = self.system(name).evaluation.aggregates
            unmet = unmet_expectations(found, [expected], tolerance=tolerance)
            lines += [f"{name}: {line}" for line in unmet]
        return lines

    def warnings(self) -> list[str]:
        """Return warnings for a reader: documents missing, not held out, or another model."""
        found = [*self.judged.warnings]
        if reused := warning(self.reuse, len(self.judged.texts)):
            found.append(f"{TUNED}: {reused}")
        if self.other_models:
            branches = " and ".join(self.other_models)
            found.append(f"{TUNED}: it was tuned with another model of {branches}; tune it again")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON data: ``systems`` maps a name to its measures."""
        found: dict[str, Any] = {
            "source": self.source,
            "split": self.split,
            "queries": self.query_count,
            "depth": self.depth,
            "systems": {s.name: dict(s.evaluation.aggregates) for s in self.systems},
            "fusions": {s.name: str(s.fusion) for s in self.systems},
            "queries_without_text": self.judged.textless,
            "queries_tuned_on": self.reuse.count,
        }
        return found

    def write_per_query(self, path: str | Path) -> None:
        """Write one line a query, system and measure, tab-separated; refuses an existing file.

        The text of the query stands last, with a space for every tab and line break.
        """
        lines = ["query_id\tsystem\tmeasure\tvalue\tquery\n"]
        texts = {name: " ".join(text.split()) for name, text in self.judged.texts.items()}
        for system in self.systems:
            for measure in self.measures:
                values = system.evaluation.per_query(measure).tolist()
                lines += [
                    f"{query_id}\t{system.name}\t{measure}\t{value!r}\t{texts.get(query_id, '')}\n"
                    for query_id, value in zip(system.evaluation.query_ids, values, strict=True)
                ]
        write_new(path, "".join(lines))

    def write_runs(self, directory: Path) -> None:
        """Write the run of every system as a TREC file into a new folder, whole or not at all.

        A file is called as its system is, with an underscore for what no file name should have.

        Raises:
            OutputExistsError: the folder exists.
        """
        if directory.exists():
            raise OutputExistsError(f"{directory} exists; give a folder that does not exist yet")
        names = [re.sub(r"[^\w.=,()-]+", "_", each.name) for each in self.systems]
        with refusals(directory):
            write_folder(directory, lambda target: self._write_runs(target, names))

    def _write_runs(self, target: Path, names: Sequence[str]) -> None:
        for at, (name, system) in enumerate(zip(names, self.systems, strict=True)):
            own = name if names.count(name) == 1 else f"{name}-{at + 1}"
            system.run.write_trec(target / f"{own}.trec")


def evaluate_systems(
    index: Index,
    source: JudgedQueries,
    options: EvaluateOptions | None = None,
    *,
    progress: StartProgress = no_progress,
    executor: Executor | None = None,
) -> SystemsReport:
    """Return the measures of each branch, of RRF, of the tuned fusion, and of those asked for.

    ``source`` holds queries and judgments; it may be ``(queries, qrels)``, see `as_judged`.
    ``progress`` shows how far a reranking is. An ``executor`` searches the queries elsewhere, see
    `hybrid.integrations.clusters.dask`; all else is done here.

    Raises:
        CorpusError: the split has no judged query.
        UsageError: an unknown measure, domain or fusion.
    """
    options = options or EvaluateOptions()
    check_measures(options.measures)
    view = index.view()
    fusions = system_fusions(view, options)
    plan = view.pool_plan(options.search)
    again = plan_rerank(view.contents, options.search)
    view.find_reranker(again)
    judged = judged_pool(view, source, options, plan, executor=executor)

    def measured(name: str, fusion: Fusion) -> System:
        if name == RERANKED and again is not None:
            before = view.fusion(options.search)
            asked = before.branch_names(view.branches)
            pairs = view.pair_scores(judged.texts, again, branches=asked)
            fused = rerank(judged.pool, fuse(judged.pool, before), again, pairs, progress)[1]
        else:
            fused = fuse(judged.pool, fusion)
        run = rank(judged.pool, fused, judged.pool.depth)
        run = options.judging.run(run, judged.qrels)
        return System(name, fusion, run, evaluate(run, judged.qrels, options.measures))

    stored = stored_domain(options.domain, view.contents.domains)
    domain = {} if stored not in view.domains else view.contents.domains[str(stored)]
    return SystemsReport(
        judged.source,
        options.split,
        judged.pool.depth,
        tuple(measured(name, fusion) for name, fusion in fusions.items()),
        judged,
        options.judging,
        reused_queries(judged.texts.values(), domain.get("report", {})),
        changed_models(domain, view.contents.records),
    )


def _place(name: str, names: Sequence[str]) -> int:
    if name not in names:
        raise UsageError(f"system {name!r} was not evaluated; these were: {', '.join(names)}")
    return list(names).index(name)


def check_asked(
    view: View,
    options: EvaluateOptions,
    *,
    against: str | None = None,
    headroom: bool = False,
    expect: Sequence[str] = (),
    tolerance: float = 0.0,
) -> None:
    """Do nothing if all that is to be told of the systems can be told.

    Raises:
        UsageError: as ``comparisons``, ``headroom`` and ``unmet``, whose arguments these are, would
            after the search.
    """
    names = list(system_fusions(view, options))
    measures = [str(measure) for measure in check_measures(options.measures)]
    if against is not None:
        check_compared(names, against)
    if headroom:
        options.judging.check_headroom()
        array_measure(measures[0])
    for text in expect:
        given, _, expected = text.rpartition(":")
        _place(given or names[-1], names)
        unmet_expectations(dict.fromkeys(measures, 0.0), [expected], tolerance=tolerance)


def system_fusions(view: View, options: EvaluateOptions) -> dict[str, Fusion]:
    """Return name to fusion of every system, in the order in which they are printed.

    Raises:
        UsageError: an unknown domain or fusion, or one of a branch that is not there.
    """
    found = {name: single(name) for name in view.branches}
    if len(view.branches) > 1:
        found[RRF] = rrf()
    if options.domain is not None or stored_domain(None, view.contents.domains) in view.domains:
        found[TUNED] = view.fusion(SearchOptions(domain=options.domain))
    for text in options.fusions:
        parsed = parse_fusion(text)
        parsed.branch_names(view.branches)
        found.pop(str(parsed), None)
        found[str(parsed)] = parsed
    again = plan_rerank(view.contents, options.search)
    if again is not None:
        found[RERANKED] = again.fusion
    return found
