"""Options that several commands share, and what they resolve to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.console import Console

from hybrid.corpus import Passages, Skipped, Source, SourceOptions, open_source
from hybrid.errors import UsageError

IdColumn: TypeAlias = Annotated[str | None, typer.Option(help="column of the document id")]
TextColumn: TypeAlias = Annotated[str | None, typer.Option(help="column of the text")]
TitleColumn: TypeAlias = Annotated[str | None, typer.Option(help="column of the title")]
Encoding: TypeAlias = Annotated[str, typer.Option(help="encoding of text files")]
Fields: TypeAlias = Annotated[
    str,
    typer.Option(
        help="columns to store for filters, with commas, maybe with a type (int, float, bool, str) "
        "for texts that hold one: year:int,lang"
    ),
]
Filter: TypeAlias = Annotated[
    str | None,
    typer.Option("--filter", help="only documents whose fields match: 'year >= 2020'"),
]
Device: TypeAlias = Annotated[
    str,
    typer.Option(
        help="where searches run: auto (a GPU for batches, where there is one), cpu, cuda, cuda:1; "
        "the hits are the same"
    ),
]
Recall: TypeAlias = Annotated[
    float,
    typer.Option(
        help="under 1, such as 0.99: let sparse branches miss hits, by the cut that kept this "
        "recall when the index was built; the answer says which and how much"
    ),
]
Memory: TypeAlias = Annotated[
    str | None,
    typer.Option(help="what the process may hold, Python and models included, such as 4GB"),
]
SkipBad: TypeAlias = Annotated[
    bool, typer.Option("--skip-bad", help="leave out broken records, count and report them")
]
Queries: TypeAlias = Annotated[
    Path | None, typer.Option(help="queries of a single-file source (JSONL, TSV, CSV, Parquet)")
]
QueryIdColumn: TypeAlias = Annotated[str | None, typer.Option(help="column of the query id")]
QueryTextColumn: TypeAlias = Annotated[str | None, typer.Option(help="column of the query text")]
QrelsFile: TypeAlias = Annotated[
    Path | None, typer.Option("--qrels", help="judgments of a single-file source (TREC or BEIR)")
]


def memory_bytes(text: str | None) -> int | None:
    """Return what ``--memory`` allows; None for no limit.

    Raises:
        UsageError: it is no size.
    """
    from hybrid.machine.memory import parse_size

    return None if text is None else parse_size(text)


def field_names(text: str) -> tuple[str, ...]:
    """Return the names in a list with commas.

    >>> field_names("year, lang")
    ('year', 'lang')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def document_source(
    spec: str,
    *,
    id_column: str | None,
    text_column: str | None,
    title_column: str | None,
    fields: tuple[str, ...],
    encoding: str,
    skip_bad: bool,
    fields_optional: bool = False,
) -> Source:
    """Return the source of documents that ``build`` and ``add`` read."""
    options = SourceOptions(
        id_column=id_column,
        text_column=text_column,
        title_column=title_column,
        fields=fields,
        fields_optional=fields_optional,
        encoding=encoding,
        skip_bad=skip_bad,
    )
    return open_source(spec, options=options)


def print_skipped(skipped: Skipped, console: Console) -> None:
    """Say how many records were left out, why, and where the first few of each kind stand."""
    if skipped.total:
        console.print(f"skipped {skipped}", markup=False, soft_wrap=True)


def passage_windows(size: int | None, overlap: int | None) -> Passages | None:
    """Return the windows that ``--passages`` and ``--overlap`` ask for; a quarter overlaps.

    >>> passage_windows(128, None)
    Passages(size=128, overlap=32)

    Raises:
        UsageError: an overlap without a size.
    """
    if size is None:
        if overlap is not None:
            raise UsageError("--overlap says what passages share; give their size with --passages")
        return None
    return Passages(size, size // 4 if overlap is None else overlap)


def judged_source(
    spec: str,
    *,
    split: str,
    queries: Path | None,
    qrels: Path | None,
    skip_bad: bool,
    encoding: str = "utf-8",
    query_id_column: str | None = None,
    query_text_column: str | None = None,
) -> Source:
    """Return the source of queries and judgments; a single file's judgments are its ``split``."""
    options = SourceOptions(
        queries=queries,
        query_id_column=query_id_column,
        query_text_column=query_text_column,
        qrels=qrels,
        split=split,
        skip_bad=skip_bad,
        encoding=encoding,
    )
    return open_source(spec, options=options)


DropOwn: TypeAlias = Annotated[
    bool,
    typer.Option("--drop-own", help="leave out documents whose id is the query's (ArguAna, Quora)"),
]
JudgedOnly: TypeAlias = Annotated[
    bool, typer.Option("--judged-only", help="leave out documents without a judgment")
]
Gains: TypeAlias = Annotated[
    str,
    typer.Option(help="gain of each grade: exponential (2^grade - 1), or a list such as 1=1,2=3"),
]


def refuse_given(context: typer.Context, names: Sequence[str], why: str) -> None:
    """Refuse options that were given although they would have no effect.

    Args:
        context: of the running command.
        names: of the command's parameters.
        why: what is in the way and what to do, after "has no effect".

    Raises:
        UsageError: one of them was given; names it as it is typed.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        given = source is not None and source.name in {"COMMANDLINE", "ENVIRONMENT"}
        if parameter.name in names and given:
            raise UsageError(f"{parameter.opts[0]} has no effect {why}")
