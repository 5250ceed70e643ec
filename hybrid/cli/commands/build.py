"""``hybrid build``: a corpus in, an index out."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from hybrid.cli.app import app, err, example, out, print_alarms
from hybrid.cli.options import (
    Encoding,
    Fields,
    IdColumn,
    Memory,
    SkipBad,
    TextColumn,
    TitleColumn,
    document_source,
    field_names,
    memory_bytes,
    passage_windows,
    print_skipped,
)
from hybrid.cli.output import progress_bars


class Weights(str, Enum):
    """How sparse weights are stored."""

    uint8 = "uint8"
    float32 = "float32"


class Vectors(str, Enum):
    """How dense vectors are searched."""

    flat = "flat"
    ivf = "ivf"
    hnsw = "hnsw"


@app.command(epilog=example("hybrid build stdlib -o stdlib.idx"))
def build(
    source: Annotated[
        str,
        typer.Argument(
            help="stdlib, a BEIR folder, a JSONL/TSV/CSV/Parquet file, or an ir-datasets id"
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="index folder, must not exist")],
    sparse: Annotated[
        str, typer.Option(help="sparse model: builtin:splade, a hub id, a path, or none")
    ] = "builtin:splade",
    dense: Annotated[
        str, typer.Option(help="dense model: builtin:minilm, a hub id, a path, or none")
    ] = "builtin:minilm",
    bm25: Annotated[bool, typer.Option(help="index BM25 too, the baseline")] = True,
    id_column: IdColumn = None,
    text_column: TextColumn = None,
    title_column: TitleColumn = None,
    fields: Fields = "",
    encoding: Encoding = "utf-8",
    skip_bad: SkipBad = False,
    max_length: Annotated[
        int | None, typer.Option(help="tokens a text, for both models; default: each model's own")
    ] = None,
    document_terms: Annotated[
        int | None,
        typer.Option(help="terms of a document that the sparse branch keeps; default: all"),
    ] = None,
    query_terms: Annotated[
        int | None, typer.Option(help="terms of a query that it keeps; default: all")
    ] = None,
    min_weight: Annotated[float, typer.Option(help="weights up to this are dropped")] = 0.0,
    sparse_revision: Annotated[
        str | None, typer.Option(help="commit, tag or branch of a hub model")
    ] = None,
    dense_revision: Annotated[
        str | None, typer.Option(help="commit, tag or branch of a hub model")
    ] = None,
    query_prompt: Annotated[
        str | None, typer.Option(help="text before each query of the dense model, as 'query: '")
    ] = None,
    document_prompt: Annotated[
        str | None, typer.Option(help="text before each document of the dense model")
    ] = None,
    weights: Annotated[
        Weights, typer.Option(help="sparse weights; what uint8 loses is measured and printed")
    ] = Weights.uint8,
    vectors: Annotated[Vectors, typer.Option(help="dense index; flat is exact")] = Vectors.flat,
    passages: Annotated[
        int | None,
        typer.Option(help="cut texts into windows of so many words; the best one scores the text"),
    ] = None,
    memory: Memory = None,
    overlap: Annotated[
        int | None, typer.Option(help="words that windows share; default: a quarter of a window")
    ] = None,
) -> None:
    """Build a hybrid index of a corpus: encode every branch, then index them over one id space.

    A build that was interrupted goes on from its last finished shard when it is run again.
    """
    from hybrid.build.create import BuildOptions, build_index

    options = BuildOptions(
        sparse=None if sparse == "none" else sparse,
        dense=None if dense == "none" else dense,
        bm25=bm25,
        max_length=max_length,
        document_terms=document_terms,
        query_terms=query_terms,
        min_weight=min_weight,
        sparse_revision=sparse_revision,
        dense_revision=dense_revision,
        query_prompt=query_prompt,
        document_prompt=document_prompt,
        weights=weights.value,
        vectors=vectors.value,
        passages=passage_windows(passages, overlap),
        memory=memory_bytes(memory),
    )
    opened = document_source(
        source,
        id_column=id_column,
        text_column=text_column,
        title_column=title_column,
        fields=field_names(fields),
        encoding=encoding,
        skip_bad=skip_bad,
    )
    with progress_bars(err) as start:
        report = build_index(opened, output, options, progress=start)
    print_skipped(opened.skipped, err)
    for line in report.lines():
        out.print(line, markup=False)
    print_alarms(report.alarms)
