"""``hybrid train``: a sparse encoder fitted to pairs, triples or the judged queries of a domain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybrid.cli.app import app, err, example, out
from hybrid.cli.progress import progress_bars


@app.command(epilog=example("hybrid train pairs.jsonl.gz -o my-splade --from builtin:splade"))
def train(
    source: Annotated[
        str,
        typer.Argument(help="JSONL or TSV of pairs or triples, a BEIR folder, an ir-datasets id"),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="folder of the model, its checkpoints and log")
    ],
    model: Annotated[
        str, typer.Option("--from", help="where to start: built-in, a folder or a hub id")
    ] = "builtin:splade",
    recipe: Annotated[
        str,
        typer.Option(help="splade-max, distil-splade, ensemble-distil, efficient or doc-only"),
    ] = "splade-max",
    query_model: Annotated[
        str | None, typer.Option(help="the query encoder of the recipe efficient")
    ] = None,
    split: Annotated[str, typer.Option(help="which judged queries of a collection")] = "train",
    steps: Annotated[int, typer.Option(help="optimiser steps; 0 takes the epochs")] = 0,
    epochs: Annotated[float, typer.Option(help="passes over the examples")] = 1.0,
    batch_size: Annotated[int, typer.Option(help="queries of one forward pass")] = 32,
    accumulation: Annotated[int, typer.Option(help="forward passes of one step")] = 1,
    mini_batch_size: Annotated[
        int, typer.Option(help="texts of one cached pass, for batches beyond memory; 0 is off")
    ] = 0,
    learning_rate: Annotated[float, typer.Option(help="greatest learning rate")] = 2e-5,
    max_length: Annotated[int, typer.Option(help="tokens a text")] = 256,
    held_out: Annotated[int, typer.Option(help="examples kept for the dev nDCG@10")] = 0,
    checkpoint_steps: Annotated[int, typer.Option(help="steps between checkpoints")] = 200,
    bf16: Annotated[bool, typer.Option(help="mixed precision")] = False,
    seed: Annotated[int, typer.Option(help="of order and sampling")] = 0,
) -> None:
    """Train a sparse encoder; run it again to go on from the last checkpoint."""
    from hybrid.training import TrainConfig, read_examples
    from hybrid.training import train as fit

    config = TrainConfig(
        model=model,
        output=output,
        recipe=recipe,
        query_model=query_model,
        steps=steps,
        epochs=epochs,
        batch_size=batch_size,
        accumulation=accumulation,
        mini_batch_size=mini_batch_size,
        learning_rate=learning_rate,
        max_length=max_length,
        held_out=held_out,
        checkpoint_steps=checkpoint_steps,
        bf16=bf16,
        seed=seed,
    )
    examples = read_examples(source, split=split)
    with progress_bars(err) as start:
        report = fit(config, examples, progress=start("training", steps or None))
    for measured in report.measured:
        out.print(
            f"step {measured.step}: dev nDCG@10 {measured.ndcg:.4f}, "
            f"{measured.document_terms:.0f} terms a document, {measured.query_terms:.0f} a query, "
            f"FLOPS {measured.flops:.2f}",
            markup=False,
        )
        for alarm in measured.alarms:
            err.print(f"alarm: {alarm}", markup=False)
    out.print(
        f"{report.model}: {report.steps} steps over {report.examples:,} examples; use it with "
        f"hybrid build SOURCE -o INDEX --sparse {report.model}",
        markup=False,
    )
