"""``hybrid verify`` and ``rebuild``: whether an index is whole, and what makes it whole again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from hybrid.build.options import REVISION
from hybrid.cli.app import ENCODED, app, err, example, out, print_json, print_result, stoppable
from hybrid.cli.options import AsJson, CacheOptions, MemoryLimit, Running, options_of, refuse_given
from hybrid.cli.output import progress_bars
from hybrid.machine.options import option


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
    as_json: AsJson = False,
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


@dataclass(frozen=True)
class OtherModel:
    """Another model for a branch, or other options for the one that it has."""

    model: str | None = option(
        None,
        "another model for the one branch, with a length, prompts and terms of its own unless "
        "they are given here; default: the one it has, as it was built",
    )
    revision: str | None = option(None, REVISION)
    max_length: int | None = option(None, "tokens a text")
    query_prompt: str | None = option(None, "text before each query; an empty one is none")
    document_prompt: str | None = option(None, "text before each document")
    document_terms: int | None = option(None, "terms of a document that a sparse branch keeps")
    query_terms: int | None = option(None, "terms of a query that it keeps")
    min_weight: float | None = option(None, "weights of it up to this are dropped")

    @property
    def options(self) -> dict[str, Any]:
        """The options that were given."""
        return {n: each for n, each in vars(self).items() if n != "model" and each is not None}


@app.command(epilog=example("hybrid rebuild my.idx --branch dense --model my-model/"))
@options_of
def rebuild(
    index: Annotated[Path, typer.Argument(help="index folder")],
    branch: Annotated[list[str], typer.Option(help="a branch to encode again; may be repeated")],
    other: OtherModel,
    running: Running,
    limit: MemoryLimit,
    caching: CacheOptions,
    as_json: AsJson = False,
) -> None:
    """Encode branches again from the stored documents: damaged ones, or one with another model."""
    from hybrid.build.rebuild import RebuildOptions, rebuild_branches
    from hybrid.errors import UsageError

    options = other.options
    if (other.model is not None or options) and len(branch) != 1:
        raise UsageError(
            f"--model and its options are for one branch, but {len(branch)} are named; rebuild it "
            "alone"
        )
    models = {} if other.model is None else {branch[0]: other.model}
    with stoppable(ENCODED), progress_bars(err) as start:
        rebuilding = RebuildOptions(
            models,
            {branch[0]: options},
            cache=caching.choice,
            memory=limit.memory,
            device=running.device,
            batch_size=running.batch_size,
        )
        report = rebuild_branches(index, branch, rebuilding, progress=start)
    print_result(report.to_dict(), report.lines(), as_json=as_json)
