"""``hybrid report`` and ``plot``: one page about an index and its judged queries, or its plots."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from hybrid.cli.app import app, err, example, print_result
from hybrid.cli.options import (
    OUT,
    AsJson,
    Device,
    QuerySource,
    judged_source,
    options_of,
    print_skipped,
    refuse_given,
)
from hybrid.corpus import Source, SourceOptions
from hybrid.evaluate.options import EvaluateOptions

if TYPE_CHECKING:
    from hybrid.search.index import Index

IndexFolder: TypeAlias = Annotated[Path, typer.Argument(help="index folder")]
Judged: TypeAlias = Annotated[
    str | None,
    typer.Argument(help="where queries and judgments come from; or give --queries and --qrels"),
]


class PlotForm(str, Enum):
    """How a plot is written."""

    svg = "svg"
    png = "png"


@app.command(epilog=example("hybrid report stdlib.idx stdlib -o report.html"))
@options_of
def report(
    context: typer.Context,
    index: IndexFolder,
    output: Annotated[Path, typer.Option(*OUT, help="new HTML file")],
    options: EvaluateOptions,
    reading: QuerySource,
    source: Judged = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Write one HTML page about an index that opens offline; with judged queries, how it does."""
    from hybrid.machine.files import check_new
    from hybrid.report.write import write_report

    check_new(output)
    with _opened(context, index, device, source, options, reading) as (opened, judged):
        found = write_report(opened, output, judged, options)
    data = {"output": str(output), **found.to_dict()}
    print_result(data, [f"{output}: {', '.join(data['sections'])}"], as_json=as_json)


@app.command(epilog=example("hybrid plot stdlib.idx stdlib -o plots/"))
@options_of
def plot(
    context: typer.Context,
    index: IndexFolder,
    output: Annotated[Path, typer.Option(*OUT, help="new folder")],
    options: EvaluateOptions,
    reading: QuerySource,
    source: Judged = None,
    form: Annotated[PlotForm, typer.Option("--format", help="of the files")] = PlotForm.svg,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Write each plot of the report alone, as SVG or PNG."""
    from hybrid.report.write import check_folder, write_plots

    check_folder(output)
    with _opened(context, index, device, source, options, reading) as (opened, judged):
        found = write_plots(opened, output, judged, options, form=form.value)
    files = [str(output / f"{each.name}.{form.value}") for each in found.plots]
    print_result({"output": str(output), "files": files}, files, as_json=as_json)


@contextmanager
def _opened(
    context: typer.Context,
    index: Path,
    device: str,
    source: str | None,
    options: EvaluateOptions,
    reading: SourceOptions,
) -> Iterator[tuple[Index, Source | None]]:
    """Yield the index and its judged queries, None where none are named; say what was skipped."""
    from hybrid.search.index import open_index

    judged, doing = None, "gathering"
    if source is None and reading.queries is None and reading.qrels is None:
        names = [each.name for each in fields(EvaluateOptions)]
        refuse_given(context, names, "without judged queries; name a source of them")
    else:
        judged = judged_source(source, replace(reading, split=options.split))
        doing = "searching and measuring"
    with err.status(doing), open_index(index, device=device) as opened:
        yield opened, judged
    if judged is not None:
        print_skipped(judged.skipped_queries, err)
