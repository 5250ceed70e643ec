"""``hybrid models``: the built-in models, listed and written out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hybrid.cli.app import app, example, out

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
