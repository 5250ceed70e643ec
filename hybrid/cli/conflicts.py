"""Options that have no effect beside others: refused, not ignored."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from hybrid.errors import UsageError


def refuse_given(context: typer.Context, names: Sequence[str], why: str) -> None:
    """Refuse options that were given although they would have no effect.

    Args:
        context: of the running command.
        names: of the command's parameters.
        why: what is in the way and what to do, after "has no effect".

    Raises:
        UsageError: one of them was given; names it as it is typed.
    """
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        given = source is not None and source.name in {"COMMANDLINE", "ENVIRONMENT"}
        if parameter.name in names and given:
            raise UsageError(f"{parameter.opts[0]} has no effect {why}")
