"""The options that say how judgments are applied."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

DropOwn: TypeAlias = Annotated[
    bool,
    typer.Option("--drop-own", help="leave out documents whose id is the query's (ArguAna, Quora)"),
]
JudgedOnly: TypeAlias = Annotated[
    bool, typer.Option("--judged-only", help="leave out documents without a judgment")
]
Gains: TypeAlias = Annotated[
    str,
    typer.Option(help="gain of each grade: exponential (2^grade - 1), or a list such as 1=1,2=3"),
]
