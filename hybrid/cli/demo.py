"""``hybrid demo``: the main job on the bundled collection, with the built-in models, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybrid.cli.app import app, err, example, out
from hybrid.cli.output import print_tables
from hybrid.cli.progress import progress_bars


@app.command(epilog=example("hybrid demo --output stdlib.idx"))
def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="where the index goes; reused if it is there")
    ] = Path("stdlib.idx"),
) -> None:
    """Build, tune, evaluate and search the docstrings of Python's standard library."""
    from hybrid.demo import run_demo
    from hybrid.report.evaluation import systems_table

    with progress_bars(err) as start:
        result = run_demo(output, progress=start)
    print_tables([systems_table(result.report)])
    for line in result.lines():
        out.print(line, markup=False)
