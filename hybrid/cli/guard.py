"""``hybrid verify``, ``snapshot`` and ``restore``: whether an index is whole, and copies of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybrid.cli.app import app, err, example, out, print_json


@app.command(epilog=example("hybrid verify my.idx --deep"))
def verify(
    index: Annotated[Path, typer.Argument(help="index folder")],
    deep: Annotated[
        bool, typer.Option(help="compare the contents of the files with each other, too")
    ] = False,
    repair: Annotated[
        bool, typer.Option(help="go back to the last whole generation where this one is damaged")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Read every file of an index and say what is wrong with it."""
    from hybrid.indexes.verify import repair_index, verify_index

    report = verify_index(index, deep=deep)
    if not report.is_whole and repair:
        mended = repair_index(index, deep=deep)
        err.print(f"went back from {mended.before or 'nothing'} to {mended.after}", markup=False)
        report = verify_index(index, deep=deep)
    if as_json:
        print_json(report.to_dict())
    else:
        for problem in report.problems:
            out.print(problem, markup=False)
        state = "whole" if report.is_whole else f"damaged: {len(report.problems)} problems"
        out.print(f"{index}: {report.files} files, {report.bytes:,} bytes, {state}", markup=False)
    if not report.is_whole:
        raise typer.Exit(1)


@app.command(epilog=example("hybrid snapshot my.idx backup.idx"))
def snapshot(
    index: Annotated[Path, typer.Argument(help="index folder")],
    target: Annotated[Path, typer.Argument(help="the copy, must not exist")],
) -> None:
    """Copy the current generation, every file verified on the way; writers may go on."""
    from hybrid.indexes.transfer import snapshot as copy

    copy(index, target)
    out.print(f"{target}: a whole copy of {index}", markup=False)


@app.command(epilog=example("hybrid restore backup.idx my.idx"))
def restore(
    copy: Annotated[Path, typer.Argument(help="a snapshot")],
    target: Annotated[Path, typer.Argument(help="the index, must not exist")],
) -> None:
    """Make an index of a snapshot, every file verified on the way."""
    from hybrid.indexes.transfer import restore as copy_back

    copy_back(copy, target)
    out.print(f"{target}: restored from {copy}", markup=False)
