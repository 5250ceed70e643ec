"""``hybrid tune``: judged queries in, the fusion of a domain out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybrid.cli.app import app, err, example, out, print_json
from hybrid.cli.sources import QrelsFile, Queries, SkipBad, judged_source


@app.command(epilog=example("hybrid tune stdlib.idx stdlib --split train"))
def tune(
    index: Annotated[Path, typer.Argument(help="index folder")],
    source: Annotated[str, typer.Argument(help="where queries and judgments come from")],
    split: Annotated[str, typer.Option(help="which judged queries to tune on")] = "train",
    measure: Annotated[str, typer.Option(help="what to maximise")] = "nDCG@10",
    domain: Annotated[str, typer.Option(help="the name to store the fusion under")] = "default",
    trials: Annotated[int | None, typer.Option(help="how many fusions Optuna tries")] = None,
    depth: Annotated[int, typer.Option(help="how deep each branch searches")] = 1000,
    seed: Annotated[int, typer.Option(help="seed of folds and sampler")] = 0,
    store: Annotated[bool, typer.Option(help="store the fusion in the index")] = True,
    queries: Queries = None,
    qrels: QrelsFile = None,
    skip_bad: SkipBad = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Tune the fusion on judged queries, report what held out, store it under a domain name."""
    from hybrid.experiment import tune_index
    from hybrid.retrieve import open_index

    with open_index(index) as opened, err.status("searching and tuning"):
        result = tune_index(
            opened,
            judged_source(source, split=split, queries=queries, qrels=qrels, skip_bad=skip_bad),
            split=split,
            measure=measure,
            trials=trials,
            depth=depth,
            seed=seed,
        )
        if store:
            opened.store_domain(domain, result.fusion, report=result.to_dict())
    if as_json:
        print_json({"domain": domain, "stored": store, **result.to_dict()})
        return
    for line in result.lines():
        out.print(line, markup=False)
    if store:
        out.print(f"stored under the domain {domain!r}; search uses it", markup=False)
