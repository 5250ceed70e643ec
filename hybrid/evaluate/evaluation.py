"""Evaluation of runs: any ir_measures measure, for each query and on the mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.corpus.judged import checked_qrels
from hybrid.errors import MissingPackageError, UsageError
from hybrid.evaluate.names import GRADE, parse_measure, parse_measures
from hybrid.fusion.run import Run
from hybrid.machine.files import write_new

BLIND_BEHIND_CUTOFF = ("nDCG", "AP", "P", "R", "RR", "Success")
"""Measures with a cutoff that documents behind it do not change, unless of judged ones alone."""


@dataclass(frozen=True)
class Evaluation:
    """The measures of one run.

    Attributes:
        measures: names, as ir_measures prints them.
        query_ids: every judged query, in the order of the judgments.
        values: float64 (measures, queries); a judged query without results has 0.
        unjudged: queries of the run that have no judgment, and so are left out.
        absent: judged queries that the run lacks.
        aggregates: the mean of each measure, or what ir_measures takes instead of a mean.
    """

    measures: tuple[str, ...]
    query_ids: tuple[str, ...]
    values: NDArray[np.float64]
    unjudged: tuple[str, ...]
    absent: tuple[str, ...]
    aggregates: dict[str, float]

    def __getitem__(self, measure: str) -> float:
        """Return the aggregate of one measure.

        Raises:
            UsageError: the measure was not computed.
        """
        return self.aggregates[self.measures[self._row(measure)]]

    def per_query(self, measure: str) -> NDArray[np.float64]:
        """Return one measure for each query, float64 (queries,), in the order of query_ids."""
        return np.asarray(self.values[self._row(measure)])

    def to_dict(self) -> dict[str, Any]:
        """Return the aggregates and counts as JSON data."""
        return {
            "measures": dict(self.aggregates),
            "queries": len(self.query_ids),
            "queries_without_results": len(self.absent),
            "queries_without_judgments": len(self.unjudged),
        }

    def write_per_query(self, path: str | Path) -> None:
        """Write ``query_id`` and one column a measure, tab-separated; refuses an existing file."""
        lines = ["\t".join(["query_id", *self.measures]) + "\n"]
        for i, query_id in enumerate(self.query_ids):
            lines.append("\t".join([query_id, *(repr(float(v)) for v in self.values[:, i])]) + "\n")
        write_new(path, "".join(lines))

    def _row(self, measure: str) -> int:
        name = measure if measure in self.measures else str(parse_measure(measure))
        if name not in self.measures:
            raise UsageError(
                f"measure {measure!r} was not computed; this evaluation has "
                f"{', '.join(self.measures)}"
            )
        return self.measures.index(name)


def evaluate(
    run: Run, qrels: Mapping[str, Mapping[str, int]], measures: str | Sequence[str] = "nDCG@10"
) -> Evaluation:
    """Return the measures of ``run`` for each judged query and on the mean.

    A judged query without results counts 0; a query without judgments is left out. A measure
    sees the order of the documents alone: ties stand as the run has them, whoever computes it.

    Args:
        run: in the ordering rule, which is that of trec_eval.
        qrels: ``{query_id: {doc_id: grade}}``.
        measures: ir_measures names, as a sequence or one string with commas.

    Raises:
        UsageError: a name is no measure, there is no judgment, a grade is out of range, or run and
            judgments share no query.
        MissingPackageError: the package that computes a measure is not installed.

    >>> run = Run.from_dict({"q1": {"a": 2.0, "b": 1.0}})
    >>> evaluate(run, {"q1": {"b": 1}, "q2": {"a": 1}}, "RR@10")["RR@10"]
    0.25
    """
    qrels, parsed = checked_qrels(qrels), check_measures(measures)
    names = tuple(str(measure) for measure in parsed)
    if not qrels:
        raise UsageError("there is no judgment; give qrels with at least one query")
    judged = tuple(qrels)
    present = [query for query in run if query in qrels]
    if not present:
        raise UsageError(
            f"run and judgments share no query; the run has {', '.join(list(run)[:3]) or 'none'}, "
            f"the judgments {', '.join(judged[:3])}"
        )
    values = np.zeros((len(parsed), len(judged)))
    rows, columns = {m: i for i, m in enumerate(parsed)}, {q: i for i, q in enumerate(judged)}
    for measure, query, value in _computed(parsed, qrels, run, columns):
        values[rows[measure], query] = value
    aggregates = {}
    for name, measure, row in zip(names, parsed, values, strict=True):
        aggregator = measure.aggregator()
        for value in row.tolist():
            aggregator.add(value)
        aggregates[name] = float(aggregator.result())
    return Evaluation(
        names,
        judged,
        values,
        unjudged=tuple(query for query in run if query not in qrels),
        absent=tuple(query for query in judged if query not in run),
        aggregates=aggregates,
    )


def check_measures(measures: str | Sequence[str]) -> tuple[Any, ...]:
    """Return the measures of the names, each once, all of which can be computed here.

    Raises:
        UsageError: a name is no measure or occurs twice, or nothing computes the measure.
        MissingPackageError: the package that computes a measure is not installed.
    """
    import ir_measures

    parsed = parse_measures(measures)
    names = [str(measure) for measure in parsed]
    if len(set(names)) != len(names):
        raise UsageError(f"a measure occurs twice in {', '.join(names)}; give each once")
    for measure in parsed:
        if not ir_measures.DefaultPipeline.supports(measure):
            try:
                ir_measures.evaluator([measure], {})
            except ValueError as error:
                raise _refusal(measure, error) from error
    return parsed


def _computed(
    measures: tuple[Any, ...],
    qrels: Mapping[str, Mapping[str, int]],
    run: Run,
    columns: Mapping[str, int],
) -> Iterator[tuple[Any, int, float]]:
    """Yield (measure, column of the query, value), by whichever provider has the measure.

    Raises:
        MissingPackageError: the provider of a measure is not installed.
        UsageError: the provider refuses, for instance for want of a parameter.
    """
    # Providers order ties each in its own way, some take numbers alone for queries, and some read
    # ids up to a space. So they get scores that fall by 1 to 1, and numbers for all ids.
    whole: dict[str, dict[str, int]] = {}
    listed: dict[str, int] = {}
    names = list(map(str, range(max((len(run.doc_ids(query)) for query in run), default=0))))
    for query, column in columns.items():
        _check_grades(query, qrels[query])
        documents = run.doc_ids(query) if query in run else ()
        place = dict(zip(documents, names, strict=False))
        whole[f"{column}"] = {
            place.get(doc_id, f"{-number}"): grade
            for number, (doc_id, grade) in enumerate(qrels[query].items(), start=1)
        }
        if max(whole[f"{column}"].values(), default=0) < 0:
            # pytrec_eval may never return for a query without a grade of 0 or more. One document
            # of grade 0 that no run holds changes no measure.
            whole[f"{column}"]["-0"] = 0
        if documents:
            listed[f"{column}"] = len(documents)
    by_cutoff: dict[int, list[Any]] = {}
    for measure in measures:
        blind = measure.NAME in BLIND_BEHIND_CUTOFF and not measure.params.get("judged_only")
        cutoff = measure.params.get("cutoff") if blind else None
        by_cutoff.setdefault(cutoff or len(names), []).append(measure)
    falling = np.arange(len(names), 0, -1, dtype=np.float64).tolist()
    for cutoff, alike in by_cutoff.items():
        found = {
            column: dict(zip(names[: min(size, cutoff)], falling, strict=False))
            for column, size in listed.items()
        }
        for result in _calculated(alike, whole, found):
            if result.query_id in whole:
                yield result.measure, int(result.query_id), float(result.value)


def _calculated(
    measures: list[Any],
    judged: dict[str, dict[str, int]],
    found: dict[str, dict[str, float]],
) -> list[Any]:
    """Return the results of measures; where one of several fails, it is found one by one."""
    import ir_measures

    try:
        return list(ir_measures.iter_calc(measures, judged, found))
    except Exception as error:
        if len(measures) == 1:
            raise _refusal(measures[0], error) from error
    return [each for measure in measures for each in _calculated([measure], judged, found)]


def _check_grades(query: str, judged: Mapping[str, int]) -> None:
    doc_id = max(judged, key=judged.__getitem__, default=None)
    if doc_id is not None and judged[doc_id] > GRADE:
        raise UsageError(
            f"the grade of document {doc_id!r} for query {query!r} is {judged[doc_id]}, and "
            f"measures take time and memory for each grade up to it; give grades up to {GRADE}"
        )


def _refusal(measure: Any, error: Exception) -> UsageError | MissingPackageError:
    said = " ".join(str(error).split())
    packages = re.findall(r"pip install ([^)]+)\)", said)
    if packages:
        wanted = " or ".join(f"pip install '{package}'" for package in packages)
        return MissingPackageError(f"measure {measure} is computed by another package: {wanted}")
    return UsageError(
        f"measure {measure} cannot be computed here ({type(error).__name__}: {said}); "
        "give another measure"
    )
