"""``hybrid evaluate``: every branch and fusion of an index against judgments."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from hybrid.cli.app import app, err, example, print_json
from hybrid.cli.options import (
    Device,
    Filter,
    QuerySource,
    Recall,
    options_of,
    print_skipped,
    refuse_given,
)
from hybrid.cli.output import Form, print_tables
from hybrid.corpus import open_source
from hybrid.errors import UsageError
from hybrid.evaluate.judging import Judging

MEASURES = "nDCG@10,RR@10,R@100"


@app.command(epilog=example("hybrid evaluate stdlib.idx stdlib --split test --against dense"))
@options_of
def evaluate(
    context: typer.Context,
    index: Annotated[Path, typer.Argument(help="index folder")],
    source: Annotated[str, typer.Argument(help="where queries and judgments come from")],
    reading: QuerySource,
    judging: Judging,
    split: Annotated[str, typer.Option(help="which judged queries")] = "test",
    measures: Annotated[str, typer.Option(help="ir_measures names, with commas")] = MEASURES,
    fusion: Annotated[
        list[str] | None, typer.Option(help="a further fusion to evaluate; may be repeated")
    ] = None,
    domain: Annotated[str | None, typer.Option(help="whose tuned fusion to evaluate")] = None,
    depth: Annotated[int, typer.Option(help="how deep each branch searches")] = 1000,
    where: Filter = None,
    recall: Recall = 1.0,
    device: Device = "auto",
    run: Annotated[
        Path | None, typer.Option(help="write the run of the last system as a TREC file")
    ] = None,
    per_query: Annotated[
        Path | None, typer.Option(help="write a per-query table as tab-separated values")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="compare every system with this one, query by query: intervals, corrected p, "
            "effect, wins, ties and losses"
        ),
    ] = None,
    slices: Annotated[
        bool,
        typer.Option("--slices", help="the first measure by query length and lexical overlap"),
    ] = False,
    headroom: Annotated[
        bool, typer.Option("--headroom", help="what hindsight could make of the same candidates")
    ] = False,
    latency: Annotated[
        int, typer.Option(help="time each stage of the last system over so many queries")
    ] = 0,
    seed: Annotated[int, typer.Option(help="seed of bootstrap and randomisation")] = 0,
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
    from hybrid.evaluate.slicing import query_slices
    from hybrid.evaluate.systems import evaluate_systems
    from hybrid.machine.files import check_new
    from hybrid.report import evaluation as tables
    from hybrid.report.tables import comparison_table
    from hybrid.search.index import open_index
    from hybrid.search.latency import stage_latencies
    from hybrid.search.options import SearchOptions
    from hybrid.search.plan import FIRST_HITS

    if as_json:
        refuse_given(context, ["form"], "beside --json, which prints an object; give one of them")
    for path in (run, per_query):
        if path is not None:
            check_new(path)
    if run is not None and per_query is not None and run.resolve() == per_query.resolve():
        raise UsageError(f"--run and --per-query are both {run}; give each a file of its own")
    if headroom:
        judging.check_headroom()
    opened_source = open_source(source, options=replace(reading, split=split))
    with open_index(index, device=device) as opened, err.status("searching and measuring"):
        result = evaluate_systems(
            opened,
            opened_source,
            split=split,
            measures=measures,
            fusions=fusion or [],
            domain=domain,
            depth=depth,
            judging=judging,
            filter=where,
            recall=recall,
        )
        printed = [tables.systems_table(result)]
        data: dict[str, Any] = result.to_dict()
        unmet = result.unmet(expect or [], tolerance=tolerance)
        if against is not None:
            found = result.comparisons(against, seed=seed)
            printed += [comparison_table(each) for each in found]
            data["comparisons"] = [each.to_dict() for each in found]
        if slices:
            parts = query_slices(opened.view(), result)
            printed.append(tables.slices_table(parts, result.measures[0]))
            data["slices"] = [each.to_dict() for each in parts]
        if headroom:
            left = result.headroom()
            printed.append(tables.headroom_table(left, result.measures[0]))
            data["headroom"] = left
        if latency:
            last, texts, view = result.systems[-1], result.judged.texts, opened.view()
            reach = min(depth, last.fusion.depth or depth)
            options = SearchOptions(last.fusion, depth=reach, filter=where, recall=recall)
            stages = stage_latencies(
                view, texts, view.plan(min(FIRST_HITS, reach), options), count=latency
            )
            printed.append(tables.latency_table(stages, min(latency, len(texts))))
            data["latency"] = [stage.to_dict() for stage in stages]
    print_skipped(opened_source.skipped_queries, err)
    if run is not None:
        result.systems[-1].run.write_trec(run, tag=result.run_tag)
    if per_query is not None:
        result.write_per_query(per_query)
    if as_json:
        print_json(data)
    else:
        print_tables(printed, form)
    for line in result.warnings():
        err.print(f"[bold yellow]warning:[/bold yellow] {line}", soft_wrap=True)
    for line in unmet:
        err.print(f"expectation not met: {line}", markup=False)
    if unmet:
        raise typer.Exit(1)
