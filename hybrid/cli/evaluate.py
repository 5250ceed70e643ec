"""``hybrid evaluate``: every branch and fusion of an index against judgments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybrid.cli.app import app, err, example, out, print_json
from hybrid.cli.sources import QrelsFile, Queries, SkipBad, judged_source
from hybrid.cli.tables import systems_table

MEASURES = "nDCG@10,RR@10,R@100"


@app.command(epilog=example("hybrid evaluate stdlib.idx stdlib --split test"))
def evaluate(
    index: Annotated[Path, typer.Argument(help="index folder")],
    source: Annotated[str, typer.Argument(help="where queries and judgments come from")],
    split: Annotated[str, typer.Option(help="which judged queries")] = "test",
    measures: Annotated[str, typer.Option(help="ir_measures names, with commas")] = MEASURES,
    fusion: Annotated[
        list[str] | None, typer.Option(help="a further fusion to evaluate; may be repeated")
    ] = None,
    domain: Annotated[str | None, typer.Option(help="whose tuned fusion to evaluate")] = None,
    depth: Annotated[int, typer.Option(help="how deep each branch searches")] = 1000,
    run: Annotated[
        Path | None, typer.Option(help="write the run of the last system as a TREC file")
    ] = None,
    per_query: Annotated[
        Path | None, typer.Option(help="write a per-query table as tab-separated values")
    ] = None,
    queries: Queries = None,
    qrels: QrelsFile = None,
    skip_bad: SkipBad = False,
    expect: Annotated[
        list[str] | None,
        typer.Option(help="SYSTEM:MEASURE=VALUE that must be met, such as dense:nDCG@10=0.6451"),
    ] = None,
    tolerance: Annotated[float, typer.Option(help="how far an expectation may be off")] = 0.0005,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Evaluate each branch, reciprocal rank fusion and the tuned fusion on judged queries."""
    from hybrid.experiment import evaluate_systems
    from hybrid.retrieve import open_index

    with open_index(index) as opened, err.status("searching and measuring"):
        result = evaluate_systems(
            opened,
            judged_source(source, split=split, queries=queries, qrels=qrels, skip_bad=skip_bad),
            split=split,
            measures=measures,
            fusions=fusion or [],
            domain=domain,
            depth=depth,
        )
    if run is not None:
        result.systems[-1].run.write_trec(run)
    if per_query is not None:
        result.write_per_query(per_query)
    if as_json:
        print_json(result.to_dict())
    else:
        out.print(systems_table(result))
    unmet = result.unmet(expect or [], tolerance=tolerance)
    for line in unmet:
        err.print(f"expectation not met: {line}", markup=False)
    if unmet:
        raise typer.Exit(1)
