"""``hybrid evaluate``: every branch and fusion of an index against judgments."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybrid.cli.app import app, err, example, print_json, stoppable
from hybrid.cli.options import (
    AsJson,
    Crowded,
    Dask,
    Device,
    IndexAddress,
    QueryBackend,
    QuerySource,
    executor_of,
    judged_source,
    options_of,
    print_skipped,
    refuse_given,
)
from hybrid.cli.output import Form, print_tables, progress_bars
from hybrid.errors import OutputExistsError, UsageError
from hybrid.evaluate.options import EvaluateOptions
from hybrid.machine.options import option
from hybrid.machine.progress import StartProgress, no_progress

if TYPE_CHECKING:
    from hybrid.evaluate.systems import SystemsReport
    from hybrid.report.tables import Table
    from hybrid.search.view import View

SCORED = "the scores of finished queries are in the cache; run the same command again to go on"
FURTHER = ("comparisons", "slices", "headroom", "latency", "failures")
"""Keys of the analyses in JSON, null where they were not asked for."""


@dataclass(frozen=True)
class Further:
    """The analyses that are printed beside the measures of the systems."""

    against: str | None = option(
        None,
        "compare every system with this one, query by query",
        flags=("--against", "--baseline"),
    )
    slices: bool = option(False, "the first measure by length and overlap of queries")
    headroom: bool = option(False, "what hindsight could make of the same candidates")
    latency: int = option(0, "time each stage over so many queries")
    failures: int = option(
        0,
        "queries that the last system lost most on",
    )
    seed: int = option(0, "seed of bootstrap and randomisation")

    def __post_init__(self) -> None:
        if self.latency < 0:
            raise UsageError(f"latency is {self.latency} queries; give 1 or more, or 0 for none")
        if self.failures < 0:
            raise UsageError(f"failures is {self.failures}; give 1 or more, or 0 for none")


@dataclass(frozen=True)
class Outputs:
    """Which files are written, and which figures must come out."""

    run: Path | None = option(None, "write the run of the last system, in TREC form")
    run_dir: Path | None = option(None, "write the runs of all systems into a new folder")
    per_query: Path | None = option(None, "write a table with a row for each query, as TSV")
    expect: tuple[str, ...] = option(
        (),
        "MEASURE=VALUE or SYSTEM:MEASURE=VALUE that must be met",
    )
    tolerance: float = option(0.0005, "how far off --expect may be")

    def check_files(self) -> None:
        """Refuse what exists or cannot be made, and one file for both."""
        from hybrid.machine.files import check_new

        for path in (self.run, self.per_query):
            if path is not None:
                check_new(path)
        if self.run_dir is not None and self.run_dir.exists():
            raise OutputExistsError(f"{self.run_dir} exists; give a folder that does not exist yet")
        run, table = self.run, self.per_query
        if run is not None and table is not None and run.resolve() == table.resolve():
            raise UsageError(f"--run and --per-query are both {run}; give each a file of its own")

    def write(self, report: SystemsReport) -> None:
        """Write the files that were asked for."""
        if self.run is not None:
            report.systems[-1].run.write_trec(self.run)
        if self.run_dir is not None:
            report.write_runs(self.run_dir)
        if self.per_query is not None:
            report.write_per_query(self.per_query)


@app.command(cls=Crowded, epilog=example("hybrid evaluate stdlib.idx stdlib --against dense"))
@options_of
def evaluate(
    context: typer.Context,
    index: IndexAddress,
    options: EvaluateOptions,
    further: Further,
    outputs: Outputs,
    reading: QuerySource,
    source: Annotated[
        str | None,
        typer.Argument(help="of queries and judgments; or give --queries and --qrels"),
    ] = None,
    device: Device = "auto",
    backend: QueryBackend = None,
    dask: Dask = None,
    form: Annotated[
        Form | None,
        typer.Option("--format", metavar="FORM", help="markdown, latex, csv, json or html"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate each branch, rrf, the tuned fusion and those of --fusion on judged queries."""
    from hybrid.evaluate.systems import check_asked, evaluate_systems
    from hybrid.report.evaluation import systems_table
    from hybrid.search.index import open_index

    if as_json:
        refuse_given(context, ["form"], "beside --json, which prints an object; give one of them")
    outputs.check_files()
    opened_source = judged_source(source, replace(reading, split=options.split))
    opening = open_index(index, device=device, backend=backend and backend.value)
    with opening as opened, executor_of(dask) as executor, _watched(options) as progress:
        check_asked(
            opened.view(),
            options,
            against=further.against,
            headroom=further.headroom,
            expect=outputs.expect,
            tolerance=outputs.tolerance,
        )
        report = evaluate_systems(
            opened, opened_source, options, progress=progress, executor=executor
        )
        printed = [systems_table(report)]
        data: dict[str, Any] = report.to_dict() | dict.fromkeys(FURTHER)
        unmet = report.unmet(outputs.expect, tolerance=outputs.tolerance)
        for name, value, tables in _further(opened.view(), report, options, further):
            data[name] = value
            printed += tables
    print_skipped(opened_source.skipped_queries, err)
    outputs.write(report)
    if as_json:
        print_json(data)
    else:
        print_tables(printed, form)
    for line in report.warnings():
        err.print(f"[bold yellow]warning:[/bold yellow] {line}", soft_wrap=True)
    err.quiet = err.quiet and not unmet  # a failure is told whatever was asked
    for line in unmet:
        err.print(f"expectation not met: {line}", markup=False)
    if unmet:
        raise typer.Exit(1)


@contextmanager
def _watched(options: EvaluateOptions) -> Iterator[StartProgress]:
    """Yield the progress of a reranking; Ctrl-C in it says which scores are kept."""
    if options.rerank is None:
        with err.status("searching and measuring"):
            yield no_progress
        return
    with stoppable(SCORED), progress_bars(err) as start:
        yield start


def _further(
    view: View, report: SystemsReport, options: EvaluateOptions, asked: Further
) -> Iterator[tuple[str, Any, list[Table]]]:
    """Yield the key of each thing asked for, its JSON data and its tables."""
    from hybrid.evaluate.failures import best_branch, failures, no_failures
    from hybrid.evaluate.slicing import query_slices
    from hybrid.report import evaluation as tables
    from hybrid.report.tables import comparison_table
    from hybrid.search.latency import stage_latencies
    from hybrid.search.plan import FIRST_HITS

    first = report.measures[0]
    if asked.against is not None:
        compared = report.comparisons(asked.against, seed=asked.seed)
        shown = [comparison_table(each) for each in compared]
        yield "comparisons", [each.to_dict() for each in compared], shown
    if asked.slices:
        parts = query_slices(view, report)
        yield "slices", [each.to_dict() for each in parts], [tables.slices_table(parts, first)]
    if asked.headroom:
        left = report.headroom()
        yield "headroom", left, [tables.headroom_table(left, first)]
    if asked.failures:
        worst = failures(report, asked.against, most=asked.failures)
        named = (report.systems[-1].name, asked.against or best_branch(report))
        shown = [tables.failures_table(worst, first, named)] if worst else []
        if not worst:
            err.print(no_failures(report, named[1]), markup=False)
        yield "failures", [each.to_dict() for each in worst], shown
    if asked.latency:
        fusion, texts = report.systems[-1].fusion, report.judged.texts
        depth = min(options.depth, fusion.depth or options.depth)
        search = replace(options.search, fusion=fusion, depth=depth)
        plan = view.plan(min(FIRST_HITS, depth), search)
        stages = stage_latencies(view, texts, plan, count=asked.latency)
        shown = [tables.latency_table(stages, min(asked.latency, len(texts)))]
        yield "latency", [stage.to_dict() for stage in stages], shown
