"""``hybrid info`` and ``hybrid doctor``: what an index holds, and whether this machine works."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hybrid.cli.app import app, example, out, print_json


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
