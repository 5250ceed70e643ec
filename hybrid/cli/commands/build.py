"""``hybrid build``: a corpus in, an index out."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Annotated

import typer

from hybrid.build.options import BuildOptions
from hybrid.cli.app import ENCODED, app, err, example, print_alarms, print_result, stoppable
from hybrid.cli.options import (
    OUT,
    AsJson,
    CacheOptions,
    Crowded,
    Dask,
    DocumentSource,
    executor_of,
    options_of,
    passage_windows,
    print_skipped,
)
from hybrid.cli.output import progress_bars
from hybrid.corpus import open_source

LOG = logging.getLogger(__name__)


@app.command(cls=Crowded, epilog=example("hybrid build stdlib -o stdlib.idx"))
@options_of
def build(
    source: Annotated[
        str,
        typer.Argument(help="stdlib, a BEIR folder, a file, or an ir-datasets id"),
    ],
    output: Annotated[
        str, typer.Option(*OUT, help="index folder or s3://bucket/name, must not exist")
    ],
    options: BuildOptions,
    reading: DocumentSource,
    caching: CacheOptions,
    passages: Annotated[
        int | None,
        typer.Option(help="cut texts into windows of so many words; the best counts"),
    ] = None,
    overlap: Annotated[
        int | None, typer.Option(help="words that windows share; default: a quarter of a window")
    ] = None,
    dask: Dask = None,
    as_json: AsJson = False,
) -> None:
    """Build a hybrid index of a corpus: encode every branch, then index them over one id space.

    A build that was interrupted goes on where it stopped. Texts encoded before are in the cache.
    """
    from hybrid.build.create import build_index

    windows = passage_windows(passages, overlap)
    opened = open_source(source, options=reading)
    with stoppable(ENCODED), executor_of(dask) as executor, progress_bars(err) as start:
        options = replace(options, passages=windows, cache=caching.choice, executor=executor)
        report = build_index(opened, output, options, progress=start)
    print_skipped(opened.skipped, err)
    for line in report.details():
        LOG.info(line)
    print_result(report.to_dict(), report.lines(), as_json=as_json)
    print_alarms(report.alarms)
