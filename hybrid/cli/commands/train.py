"""``hybrid train``: a sparse encoder fitted to pairs, triples or the judged queries of a domain."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybrid.cli.app import app, err, example, out, print_alarms
from hybrid.cli.output import progress_bars

if TYPE_CHECKING:
    from hybrid.training import Logged, Measured

MODEL, SUPERVISION = "Model", "Negatives and teachers"
OPTIMISER, LOSS, RUN = "Optimiser", "Loss", "Run"


class Pooling(str, Enum):
    """How the terms of a text's tokens are pooled."""

    max = "max"
    sum = "sum"


@app.command(
    epilog=example(
        "hybrid train scifact/ -o my-splade --layers 0 --mine scifact.idx --teacher hybrid "
        "--recipe ensemble-distil --held-out 100"
    )
)
def train(
    source: Annotated[
        str,
        typer.Argument(help="JSONL or TSV of pairs or triples, a BEIR folder, an ir-datasets id"),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="folder of the model, its checkpoints and log")
    ],
    split: Annotated[str, typer.Option(help="which judged queries of a collection")] = "train",
    model: Annotated[
        str,
        typer.Option(
            "--from",
            help="where to start: built-in, a folder or a hub id",
            rich_help_panel=MODEL,
        ),
    ] = "builtin:splade",
    recipe: Annotated[
        str,
        typer.Option(
            help="splade-max, distil-splade, ensemble-distil, efficient or doc-only",
            rich_help_panel=MODEL,
        ),
    ] = "splade-max",
    query_model: Annotated[
        str | None,
        typer.Option(help="the query encoder of the recipe efficient", rich_help_panel=MODEL),
    ] = None,
    pooling: Annotated[
        Pooling,
        typer.Option(help="of a model without a SPLADE head; sum is v1", rich_help_panel=MODEL),
    ] = Pooling.max,
    max_length: Annotated[int, typer.Option(help="tokens a text", rich_help_panel=MODEL)] = 256,
    layers: Annotated[
        int | None,
        typer.Option(
            help="train the head and so many last layers; 0 is quick; default: the whole model",
            rich_help_panel=MODEL,
        ),
    ] = None,
    mine: Annotated[
        Path | None,
        typer.Option(
            metavar="INDEX",
            help="mine hard negatives from this index",
            rich_help_panel=SUPERVISION,
        ),
    ] = None,
    mine_fusion: Annotated[
        str | None,
        typer.Option(
            metavar="FUSION",
            help="what ranks them: bm25, dense, sparse, rrf(k=60); default: the index's own",
            rich_help_panel=SUPERVISION,
        ),
    ] = None,
    mine_count: Annotated[
        int, typer.Option(help="negatives mined a query", rich_help_panel=SUPERVISION)
    ] = 8,
    mine_skip: Annotated[
        int,
        typer.Option(
            help="first ranks left out, where positives hide", rich_help_panel=SUPERVISION
        ),
    ] = 0,
    teacher: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[W*]TEACHER",
            help="dense[:MODEL], hybrid[:bm25=.25,dense=6.67] over --mine, or a cross-encoder's "
            "hub id or path; again for an ensemble",
            rich_help_panel=SUPERVISION,
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="folder that keeps negatives and scores; default: in the output",
            rich_help_panel=SUPERVISION,
        ),
    ] = None,
    negatives: Annotated[
        int, typer.Option(help="negatives that a query brings to a step", rich_help_panel=LOSS)
    ] = 4,
    temperature: Annotated[
        float,
        typer.Option(help="divides the scores for ranking and KL", rich_help_panel=LOSS),
    ] = 1.0,
    document_weight: Annotated[
        float | None,
        typer.Option(
            help="FLOPS regulariser of documents; default: the recipe's", rich_help_panel=LOSS
        ),
    ] = None,
    query_weight: Annotated[
        float | None,
        typer.Option(
            help="FLOPS regulariser of queries; default: the recipe's", rich_help_panel=LOSS
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option(help="optimiser steps; 0 takes the epochs", rich_help_panel=OPTIMISER)
    ] = 0,
    epochs: Annotated[
        float, typer.Option(help="passes over the examples", rich_help_panel=OPTIMISER)
    ] = 1.0,
    batch_size: Annotated[
        int, typer.Option(help="queries of one forward pass", rich_help_panel=OPTIMISER)
    ] = 32,
    accumulation: Annotated[
        int, typer.Option(help="forward passes of one step", rich_help_panel=OPTIMISER)
    ] = 1,
    mini_batch_size: Annotated[
        int,
        typer.Option(
            help="texts of one cached pass, for batches beyond memory; 0 is off",
            rich_help_panel=OPTIMISER,
        ),
    ] = 0,
    learning_rate: Annotated[
        float, typer.Option(help="greatest learning rate", rich_help_panel=OPTIMISER)
    ] = 2e-5,
    warmup: Annotated[
        float,
        typer.Option(help="share of the steps in which it rises", rich_help_panel=OPTIMISER),
    ] = 0.1,
    bf16: Annotated[
        bool, typer.Option("--bf16", help="mixed precision", rich_help_panel=OPTIMISER)
    ] = False,
    held_out: Annotated[
        int, typer.Option(help="examples kept for the dev nDCG@10", rich_help_panel=RUN)
    ] = 0,
    checkpoint_steps: Annotated[
        int,
        typer.Option(
            help="steps between checkpoints, and between dev figures", rich_help_panel=RUN
        ),
    ] = 200,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda; default: what is there", rich_help_panel=RUN)
    ] = None,
    seed: Annotated[int, typer.Option(help="of order and sampling", rich_help_panel=RUN)] = 0,
) -> None:
    """Train a sparse encoder; run it again to go on from the last checkpoint."""
    from hybrid.training import TrainConfig, last_checkpoint, read_examples, step_count
    from hybrid.training import train as fit
    from hybrid.training.supervision import Supervision, supervised

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
        negatives=negatives,
        learning_rate=learning_rate,
        warmup=warmup,
        document_weight=document_weight,
        query_weight=query_weight,
        temperature=temperature,
        pooling=pooling.value,
        max_length=max_length,
        layers=layers,
        held_out=held_out,
        checkpoint_steps=checkpoint_steps,
        bf16=bf16,
        seed=seed,
        device=device,
    )
    supervision = Supervision(
        index=mine,
        fusion=mine_fusion,
        count=mine_count,
        skip=mine_skip,
        teachers=tuple(teacher or ()),
        cache=cache or output / "cache",
    )
    with err.status("reading examples, negatives and scores"):
        examples = supervised(read_examples(source, split=split), supervision)
    try:
        with progress_bars(err) as start:
            report = fit(
                config,
                examples,
                progress=start("training", step_count(config, len(examples) - held_out)),
                watch=_show,
                origin={"source": source, "split": split, **supervision.to_dict()},
            )
    except KeyboardInterrupt:
        kept = last_checkpoint(output)
        err.print(f"the last checkpoint is {kept or 'not written yet'}", markup=False)
        raise
    out.print(
        f"{report.model}: {report.steps} steps over {report.examples:,} examples; use it with "
        f"hybrid build SOURCE -o INDEX --sparse {report.model}",
        markup=False,
    )


def _show(event: Logged | Measured) -> None:
    """Print what a run tells on stderr, its alarms in full."""
    err.print(str(event), markup=False, soft_wrap=True)
    print_alarms(event.alarms)
