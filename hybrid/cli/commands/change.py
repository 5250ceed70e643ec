"""``hybrid add``, ``delete`` and ``compact``: an index that lives, each change one commit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hybrid.cli.app import ENCODED, app, err, example, out, print_alarms, print_json, stoppable
from hybrid.cli.options import (
    AsJson,
    CacheFolder,
    CacheOptions,
    DocumentColumns,
    MemoryLimit,
    Running,
    options_of,
    print_skipped,
    refuse_given,
)
from hybrid.cli.output import progress_bars
from hybrid.corpus import open_source
from hybrid.corpus.records import field_names

if TYPE_CHECKING:
    from hybrid.build.update import ChangeReport


@app.command(epilog=example("hybrid add my.idx new.jsonl --update"))
@options_of
def add(
    index: Annotated[Path, typer.Argument(help="index folder")],
    source: Annotated[str, typer.Argument(help="the new documents, as for build")],
    reading: DocumentColumns,
    running: Running,
    limit: MemoryLimit,
    caching: CacheOptions,
    update: Annotated[
        bool, typer.Option(help="let a document replace the one that has its id")
    ] = False,
    fields: Annotated[
        str | None,
        typer.Option(help="columns to store for filters, as for build; default: the index's own"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Encode the documents of a source and add them, all or none."""
    from hybrid.search.index import open_index

    opening = open_index(index, device=running.device or "auto", batch_size=running.batch_size)
    with opening as opened, stoppable(ENCODED), progress_bars(err) as start:
        kinds = opened.contents.documents.field_kinds
        reading = replace(reading, fields=field_names(fields or ""), index_fields=kinds)
        opened_source = open_source(source, options=reading)
        change = opened.update if update else opened.add
        report = change(opened_source, cache=caching.choice, memory=limit.memory, progress=start)
    print_skipped(opened_source.skipped, err)
    _print(index, report, as_json=as_json)


@app.command(epilog=example("hybrid delete my.idx doc-17 doc-42"))
def delete(
    index: Annotated[Path, typer.Argument(help="index folder")],
    doc_ids: Annotated[list[str], typer.Argument(help="ids of the documents to delete")],
    ignore_missing: Annotated[
        bool, typer.Option(help="pass over ids that the index does not have")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete documents by id; their space is freed by compact."""
    from hybrid.search.index import open_index

    with open_index(index) as opened:
        report = opened.delete(doc_ids, ignore_missing=ignore_missing)
    _print(index, report, as_json=as_json)


@app.command(epilog=example("hybrid compact my.idx"))
@options_of
def compact(
    index: Annotated[Path, typer.Argument(help="index folder")],
    limit: MemoryLimit,
    context: typer.Context,
    purge: Annotated[
        bool,
        typer.Option(
            "--purge",
            help="remove earlier generations, too, and forget the texts that are gone in the cache",
        ),
    ] = False,
    fields: Annotated[
        str, typer.Option(help="fields to read as another type: day:date,tags:list")
    ] = "",
    cache: CacheFolder = None,
    as_json: AsJson = False,
) -> None:
    """Make all segments one, without deleted documents, and fit BM25 anew."""
    from hybrid.search.index import open_index

    if not purge:
        refuse_given(context, ["cache"], "without --purge; give both, or leave it out")
    with open_index(index) as opened, progress_bars(err) as start:
        report = opened.compact(
            purge=purge,
            fields=fields,
            cache=cache or True,
            memory=limit.memory,
            progress=start,
        )
    if not report.merged:
        err.print("nothing to do: one segment, nothing deleted, BM25 fitted to it", markup=False)
    _print(index, report, as_json=as_json)


def _print(index: Path, report: ChangeReport, *, as_json: bool) -> None:
    if as_json:
        print_json({"index": str(index), **report.to_dict()})
        return
    segments = "1 segment" if report.segments == 1 else f"{report.segments} segments"
    merged = f", {report.merged} merged into one" if report.merged > 1 else ""
    out.print(
        f"{index}: {report.added:,} added, {report.replaced:,} replaced, {report.deleted:,} "
        f"deleted; {report.document_count:,} documents in {segments}{merged}",
        markup=False,
    )
    if report.forgotten:
        out.print(f"  forgotten in the cache: {report.forgotten:,} rows", markup=False)
    if report.unfitted:
        err.print(
            f"{' and '.join(report.unfitted)}: words and statistics are those of the documents it "
            f"was fitted to; `hybrid compact {index}` fits it anew",
            markup=False,
        )
    for note in report.notes:
        err.print(note, markup=False, soft_wrap=True)
    print_alarms(report.alarms)
