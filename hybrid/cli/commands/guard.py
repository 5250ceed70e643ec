"""``hybrid verify`` and ``rebuild``: whether an index is whole, and what makes it whole again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybrid.cli.app import ENCODED, app, err, example, out, print_json, stoppable
from hybrid.cli.options import (
    CacheFolder,
    Memory,
    NoCache,
    cache_choice,
    memory_bytes,
    refuse_given,
)
from hybrid.cli.output import progress_bars


@app.command(epilog=example("hybrid verify my.idx --deep"))
def verify(
    context: typer.Context,
    index: Annotated[Path, typer.Argument(help="index folder")],
    deep: Annotated[
        bool, typer.Option(help="compare the contents of the files with each other, too")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            help="encode damaged branches again from the stored documents, which makes one segment "
            "of all and fits BM25 anew; if more is damaged, go back to the last whole generation"
        ),
    ] = False,
    go_back: Annotated[
        bool, typer.Option(help="with --repair: go back in any case, which is quicker")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Read every file of an index and say what is wrong with it."""
    from hybrid.build.mend import mend_index
    from hybrid.index.verify import verify_index

    if not repair:
        refuse_given(context, ["go_back"], "without --repair; give both, or leave it out")
    report = verify_index(index, deep=deep)
    if not report.is_whole and repair:
        with progress_bars(err) as start:
            mended = mend_index(index, deep=deep, go_back=go_back, progress=start)
        for line in mended.lines():
            err.print(line, markup=False)
        report = verify_index(index, deep=deep)
    if as_json:
        print_json(report.to_dict())
    else:
        for problem in report.problems:
            out.print(problem, markup=False)
        state = "whole" if report.is_whole else f"damaged: {len(report.problems)} problems"
        read = "checksums and contents" if deep else "checksums"
        files = f"{report.files} files, {report.bytes:,} bytes"
        out.print(f"{index}: {read} of {files}: {state}", markup=False)
    if not report.is_whole:
        raise typer.Exit(1)


@app.command(epilog=example("hybrid rebuild my.idx --branch dense --model my-model/"))
def rebuild(
    index: Annotated[Path, typer.Argument(help="index folder")],
    branch: Annotated[list[str], typer.Option(help="a branch to encode again; may be repeated")],
    model: Annotated[
        str | None,
        typer.Option(
            help="another model for the one branch, with a length, prompts and terms of its own "
            "unless they are given here; default: the one it has, as it was built"
        ),
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="commit, tag or branch of a hub model")
    ] = None,
    max_length: Annotated[int | None, typer.Option(help="tokens a text")] = None,
    query_prompt: Annotated[
        str | None, typer.Option(help="text before each query; an empty one is none")
    ] = None,
    document_prompt: Annotated[str | None, typer.Option(help="text before each document")] = None,
    document_terms: Annotated[
        int | None, typer.Option(help="terms of a document that a sparse branch keeps")
    ] = None,
    query_terms: Annotated[int | None, typer.Option(help="terms of a query that it keeps")] = None,
    min_weight: Annotated[
        float | None, typer.Option(help="weights of it up to this are dropped")
    ] = None,
    memory: Memory = None,
    cache: CacheFolder = None,
    no_cache: NoCache = False,
) -> None:
    """Encode branches again from the stored documents: damaged ones, or one with another model."""
    from hybrid.build.rebuild import rebuild_branches
    from hybrid.errors import UsageError

    given = {
        "revision": revision,
        "max_length": max_length,
        "query_prompt": query_prompt,
        "document_prompt": document_prompt,
        "document_terms": document_terms,
        "query_terms": query_terms,
        "min_weight": min_weight,
    }
    options = {name: value for name, value in given.items() if value is not None}
    if (model is not None or options) and len(branch) != 1:
        raise UsageError(
            f"--model and its options are for one branch, but {len(branch)} are named; rebuild it "
            "alone"
        )
    models = {} if model is None else {branch[0]: model}
    allowed = memory_bytes(memory)
    with stoppable(ENCODED), progress_bars(err) as start:
        report = rebuild_branches(
            index,
            branch,
            models=models,
            options={branch[0]: options},
            cache=cache_choice(cache, no_cache),
            memory=allowed,
            progress=start,
        )
    for line in report.lines():
        out.print(line, markup=False)
