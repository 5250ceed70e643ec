"""The options of every command that reads a source, and the source that they open."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from hybrid.corpus import Source, SourceOptions, open_source

IdColumn: TypeAlias = Annotated[str | None, typer.Option(help="column of the document id")]
TextColumn: TypeAlias = Annotated[str | None, typer.Option(help="column of the text")]
TitleColumn: TypeAlias = Annotated[str | None, typer.Option(help="column of the title")]
Encoding: TypeAlias = Annotated[str, typer.Option(help="encoding of text files")]
Fields: TypeAlias = Annotated[
    str, typer.Option(help="columns to store for filters, with commas: year,lang")
]
SkipBad: TypeAlias = Annotated[
    bool, typer.Option("--skip-bad", help="leave out broken records, count and report them")
]
Queries: TypeAlias = Annotated[
    Path | None, typer.Option(help="queries of a single-file source (JSONL, TSV, CSV, Parquet)")
]
QrelsFile: TypeAlias = Annotated[
    Path | None, typer.Option("--qrels", help="judgments of a single-file source (TREC or BEIR)")
]


def field_names(text: str) -> tuple[str, ...]:
    """Return the names in a list with commas.

    >>> field_names("year, lang")
    ('year', 'lang')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def judged_source(
    spec: str, *, split: str, queries: Path | None, qrels: Path | None, skip_bad: bool
) -> Source:
    """Return the source of queries and judgments; a single file's judgments are its ``split``."""
    options = SourceOptions(queries=queries, qrels=qrels, split=split, skip_bad=skip_bad)
    return open_source(spec, options=options)
