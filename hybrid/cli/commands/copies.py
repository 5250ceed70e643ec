"""``hybrid snapshot``, ``restore``, ``push``, ``pull`` and ``export``: copies of an index."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybrid.cli.app import app, err, example, print_result
from hybrid.cli.options import AsJson, options_of
from hybrid.cli.output import progress_bars
from hybrid.integrations.formats.export import ExportOptions, export_index


@app.command(epilog=example("hybrid snapshot my.idx backup.idx"))
def snapshot(
    index: Annotated[Path, typer.Argument(help="index folder")],
    target: Annotated[Path, typer.Argument(help="the copy, must not exist")],
    as_json: AsJson = False,
) -> None:
    """Copy the current generation, every file verified on the way; writers may go on."""
    from hybrid.index.transfer import snapshot_index

    snapshot_index(index, target)
    _print(index, target, "a whole copy of", as_json=as_json)


@app.command(epilog=example("hybrid restore backup.idx my.idx"))
def restore(
    copy: Annotated[Path, typer.Argument(help="a snapshot")],
    target: Annotated[Path, typer.Argument(help="the index, must not exist")],
    as_json: AsJson = False,
) -> None:
    """Make an index of a snapshot, its files verified and looked into on the way."""
    from hybrid.index.transfer import restore_index

    restore_index(copy, target)
    _print(copy, target, "restored from", as_json=as_json)


@app.command(epilog=example("hybrid push my.idx hf://me/my-index"))
def push(
    index: Annotated[Path, typer.Argument(help="index folder")],
    url: Annotated[
        str,
        typer.Argument(
            help="a hub repository (hf://owner/name), any fsspec URL (s3://, ...), or an engine: "
            "postgresql://host/db"
        ),
    ],
    hnsw: Annotated[
        bool, typer.Option("--hnsw", help="PostgreSQL: approximate search of dense branches")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Copy the current generation to a hub repository, an engine or another place."""
    from hybrid.engines.addresses import push_index

    with progress_bars(err) as start:
        push_index(index, url, hnsw=hnsw, progress=start)
    _print(index, url, "a whole copy of", as_json=as_json)


@app.command(epilog=example("hybrid pull hf://me/my-index my.idx"))
def pull(
    url: Annotated[str, typer.Argument(help="what push was given, maybe with @revision")],
    target: Annotated[Path, typer.Argument(help="the index, must not exist")],
    as_json: AsJson = False,
) -> None:
    """Fetch an index; its files are verified and looked into before it appears."""
    from hybrid.index.transfer import pull_index

    pull_index(url, target)
    _print(url, target, "fetched from", as_json=as_json)


@app.command(epilog=example("hybrid export stdlib.idx --to anserini vectors/"))
@options_of
def export(
    index: Annotated[Path, typer.Argument(help="index folder")],
    directory: Annotated[Path, typer.Argument(help="output folder or file, must not exist")],
    options: ExportOptions,
    queries: Annotated[
        str | None, typer.Option(help="a source whose queries are exported too")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export a branch: for Anserini, with the query file where asked, or as a file of vectors."""
    from hybrid.corpus import open_source
    from hybrid.search.index import open_index

    source = None if queries is None else open_source(queries)
    with open_index(index) as opened, progress_bars(err) as start:
        written = export_index(
            opened,
            directory,
            options,
            queries=source,
            progress=start("exporting", len(opened)),
        )
    head = f"{directory}: {written.documents:,} documents, {written.queries:,} queries"
    data = {
        "directory": str(directory),
        "documents": written.documents,
        "queries": written.queries,
        "commands": list(written.commands),
    }
    lines = [head, *(f"  {command}" for command in written.commands)]
    print_result(data, lines, as_json=as_json)


def _print(source: Path | str, target: Path | str, how: str, *, as_json: bool) -> None:
    from hybrid.machine.passwords import shown

    data = {"source": str(shown(source)), "target": str(shown(target))}
    print_result(data, [f"{data['target']}: {how} {data['source']}"], as_json=as_json)
