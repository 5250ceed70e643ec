"""``hybrid evaluate``: every branch and fusion of an index against judgments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hybrid.cli.app import app, err, example, print_json
from hybrid.cli.options import Device, QuerySource, options_of, print_skipped, refuse_given
from hybrid.cli.output import Form, print_tables
from hybrid.corpus import open_source
from hybrid.errors import UsageError
from hybrid.evaluate.options import EvaluateOptions
from hybrid.machine.options import option

if TYPE_CHECKING:
    from hybrid.evaluate.systems import SystemsReport
    from hybrid.report.tables import Table
    from hybrid.search.view import View


@dataclass(frozen=True)
class Further:
    """What is told beside the measures of the systems."""

    against: str | None = option(
        None,
        "compare every system with this one, query by query: intervals, corrected p, effect, "
        "wins, ties and losses",
    )
    slices: bool = option(False, "the first measure by query length and lexical overlap")
    headroom: bool = option(False, "what hindsight could make of the same candidates")
    latency: int = option(0, "time each stage of the last system over so many queries")
    seed: int = option(0, "seed of bootstrap and randomisation")

    def __post_init__(self) -> None:
        if self.latency < 0:
            raise UsageError(f"latency is {self.latency} queries; give 1 or more, or 0 for none")


@app.command(epilog=example("hybrid evaluate stdlib.idx stdlib --split test --against dense"))
@options_of
def evaluate(
    context: typer.Context,
    index: Annotated[Path, typer.Argument(help="index folder")],
    source: Annotated[str, typer.Argument(help="where queries and judgments come from")],
    options: EvaluateOptions,
    further: Further,
    reading: QuerySource,
    device: Device = "auto",
    run: Annotated[
        Path | None, typer.Option(help="write the run of the last system as a TREC file")
    ] = None,
    per_query: Annotated[
        Path | None, typer.Option(help="write a per-query table as tab-separated values")
    ] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            help="MEASURE=VALUE that the last system must meet, such as nDCG@10=0.6451, or "
            "SYSTEM:MEASURE=VALUE"
        ),
    ] = None,
    tolerance: Annotated[float, typer.Option(help="how far an expectation may be off")] = 0.0005,
    form: Annotated[
        Form | None, typer.Option("--format", help="tables for papers and other programs")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Evaluate each branch, reciprocal rank fusion and the tuned fusion on judged queries.

    The systems are each branch, rrf, tuned, and what --fusion names, in this order.
    """
    from hybrid.evaluate.systems import check_asked, evaluate_systems
    from hybrid.report.evaluation import systems_table
    from hybrid.search.index import open_index

    if as_json:
        refuse_given(context, ["form"], "beside --json, which prints an object; give one of them")
    _check_files(run, per_query)
    opened_source = open_source(source, options=replace(reading, split=options.split))
    with open_index(index, device=device) as opened, err.status("searching and measuring"):
        check_asked(
            opened.view(),
            options,
            against=further.against,
            headroom=further.headroom,
            expect=expect or [],
            tolerance=tolerance,
        )
        report = evaluate_systems(opened, opened_source, options)
        printed = [systems_table(report)]
        data: dict[str, Any] = report.to_dict()
        unmet = report.unmet(expect or [], tolerance=tolerance)
        for name, value, tables in _further(opened.view(), report, options, further):
            data[name] = value
            printed += tables
    print_skipped(opened_source.skipped_queries, err)
    if run is not None:
        report.systems[-1].run.write_trec(run, tag=report.run_tag)
    if per_query is not None:
        report.write_per_query(per_query)
    if as_json:
        print_json(data)
    else:
        print_tables(printed, form)
    for line in report.warnings():
        err.print(f"[bold yellow]warning:[/bold yellow] {line}", soft_wrap=True)
    for line in unmet:
        err.print(f"expectation not met: {line}", markup=False)
    if unmet:
        raise typer.Exit(1)


def _check_files(run: Path | None, per_query: Path | None) -> None:
    from hybrid.machine.files import check_new

    for path in (run, per_query):
        if path is not None:
            check_new(path)
    if run is not None and per_query is not None and run.resolve() == per_query.resolve():
        raise UsageError(f"--run and --per-query are both {run}; give each a file of its own")


def _further(
    view: View, report: SystemsReport, options: EvaluateOptions, asked: Further
) -> Iterator[tuple[str, Any, list[Table]]]:
    """Yield the key of each thing asked for, its JSON data and its tables."""
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
    if asked.latency:
        fusion, texts = report.systems[-1].fusion, report.judged.texts
        depth = min(options.depth, fusion.depth or options.depth)
        search = replace(options.search, fusion=fusion, depth=depth)
        plan = view.plan(min(FIRST_HITS, depth), search)
        stages = stage_latencies(view, texts, plan, count=asked.latency)
        shown = [tables.latency_table(stages, min(asked.latency, len(texts)))]
        yield "latency", [stage.to_dict() for stage in stages], shown
