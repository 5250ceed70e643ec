"""``hybrid info``, ``doctor``, ``models``, ``demo``: contents of an index, health, models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hybrid.cli.app import app, err, example, out, print_json
from hybrid.cli.output import print_tables, progress_bars


@app.command(epilog=example("hybrid info stdlib.idx"))
def info(
    index: Annotated[Path, typer.Argument(help="index folder")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say what an index holds: documents, branches, models, sizes, tuned domains."""
    from hybrid.search.index import open_index

    with open_index(index) as opened:
        summary = opened.info()
    if as_json:
        print_json(summary.to_dict())
        return
    for line in summary.lines():
        out.print(line, markup=False)


@app.command(epilog=example("hybrid doctor"))
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Run each dependency for real and say what is wrong and how to mend it."""
    from hybrid.cli.doctor import examine

    checks = examine()
    if as_json:
        print_json(
            [{"name": c.name, "ok": c.ok, "detail": c.detail, "remedy": c.remedy} for c in checks]
        )
    else:
        table = Table(box=None, show_header=False)
        for check in checks:
            mended = "" if check.ok else f"\nmend it with: {check.remedy}"
            table.add_row("ok" if check.ok else "FAIL", check.name, f"{check.detail}{mended}")
        out.print(table, markup=False)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)


models = typer.Typer(help="List the built-in models, or write one out.", no_args_is_help=True)
app.add_typer(models, name="models")


@models.command("list", epilog=example("hybrid models list"))
def list_builtin() -> None:
    """List the built-in models: they need no model hub."""
    from hybrid.encoders import list_models

    for model in list_models():
        out.print(f"{model.spec:<20} {model.kind:<7} {model.description}", markup=False)


@models.command(epilog=example("hybrid models export builtin:splade my-splade/"))
def export(
    model: Annotated[str, typer.Argument(help="builtin:..., a folder or a hub id")],
    directory: Annotated[Path, typer.Argument(help="output folder, must not exist")],
) -> None:
    """Write a model as a sentence-transformers folder."""
    from hybrid.encoders import export_model

    export_model(model, directory)
    out.print(f"{directory}: {model}", markup=False)


@app.command(epilog=example("hybrid demo --output stdlib.idx"))
def demo(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="where the index goes; reused if it is there")
    ] = Path("stdlib.idx"),
) -> None:
    """Build, tune, evaluate and search the docstrings of Python's standard library."""
    from hybrid.cli.demo import run_demo
    from hybrid.report.evaluation import systems_table

    with progress_bars(err) as start:
        result = run_demo(output, progress=start)
    print_tables([systems_table(result.report)])
    for line in result.lines():
        out.print(line, markup=False)
