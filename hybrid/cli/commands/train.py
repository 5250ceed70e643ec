"""``hybrid train``: a sparse encoder fitted to pairs, triples or the judged queries of a domain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybrid.cli.app import app, err, example, print_alarms, print_result
from hybrid.cli.options import OUT, AsJson, options_of
from hybrid.cli.output import progress_bars
from hybrid.training.options import TrainOptions

if TYPE_CHECKING:
    from hybrid.training import Logged, Measured


@app.command(
    epilog=example(
        "hybrid train scifact/ -o my-splade --layers 0 --mine scifact.idx --teacher hybrid "
        "--recipe ensemble-distil"
    )
)
@options_of
def train(
    source: Annotated[
        str,
        typer.Argument(help="JSONL or TSV of pairs or triples, a BEIR folder, an ir-datasets id"),
    ],
    output: Annotated[
        Path, typer.Option(*OUT, help="folder of the model, its checkpoints and log")
    ],
    options: TrainOptions,
    push_to_hub: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="put the model into this hub repository, too"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a sparse encoder; run it again to go on from the last checkpoint."""
    from hybrid.machine.hub import make_repository, push_model
    from hybrid.training import last_checkpoint
    from hybrid.training import train as fit

    if push_to_hub is not None:
        make_repository(push_to_hub)
    try:
        with progress_bars(err) as start:
            report = fit(source, output, options, progress=start, watch=_show)
    except KeyboardInterrupt:
        kept = last_checkpoint(output)
        err.print(f"the last checkpoint is {kept or 'not written yet'}", markup=False)
        raise
    if push_to_hub is not None:
        push_model(report.model, push_to_hub)
    line = (
        f"{report.model}: {report.steps} steps over {report.examples:,} examples; use it with "
        f"hybrid build SOURCE -o INDEX --sparse {report.model}"
    )
    print_result(report.to_dict(), [line], as_json=as_json)


def _show(event: Logged | Measured) -> None:
    """Print the events of a run on stderr, its alarms in full."""
    err.print(str(event), markup=False, soft_wrap=True)
    print_alarms(event.alarms)
