"""``hybrid export``: the sparse vectors, for another engine to serve."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from hybrid.cli.app import app, err, example, out
from hybrid.cli.progress import progress_bars


class Target(str, Enum):
    """The systems that an index can be exported to."""

    anserini = "anserini"


@app.command(epilog=example("hybrid export stdlib.idx --to anserini vectors/"))
def export(
    index: Annotated[Path, typer.Argument(help="index folder")],
    directory: Annotated[Path, typer.Argument(help="output folder, must not exist")],
    to: Annotated[Target, typer.Option(help="the system to export to")] = Target.anserini,
    branch: Annotated[str, typer.Option(help="which sparse branch")] = "sparse",
    queries: Annotated[
        str | None, typer.Option(help="a source whose queries are exported too")
    ] = None,
    split: Annotated[str | None, typer.Option(help="which of its queries; default: all")] = None,
) -> None:
    """Export the sparse vectors with integer weights and, where asked, the query file."""
    from hybrid.corpus import open_source
    from hybrid.integrations.formats.export import export_anserini_index
    from hybrid.search.index import open_index

    source = None if queries is None else open_source(queries)
    with open_index(index) as opened, progress_bars(err) as start:
        written = export_anserini_index(
            opened,
            directory,
            branch=branch,
            queries=source,
            split=split,
            progress=start("exporting", len(opened)),
        )
    out.print(f"{directory}: {written.documents:,} documents, {written.queries:,} queries")
    for command in written.commands:
        out.print(f"  {command}", markup=False)
