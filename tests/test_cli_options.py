"""The flags, defaults and help of every command stand in tests/cli_options.json.

A change of them is meant to be seen: write the table anew with ``python -m
tests.test_cli_options`` and name the flag in docs/changelog.md.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command

from hybrid.cli import app

TABLE = Path(__file__).with_name("cli_options.json")


def written(command: Any, name: str = "") -> dict[str, dict[str, str]]:
    """Return command to flag or argument to its help, for ``command`` and those below it."""
    if hasattr(command, "commands"):
        found: dict[str, dict[str, str]] = {}
        for inner, each in command.commands.items():
            found |= written(each, f"{name} {inner}".strip())
        return found
    context = typer.Context(command)
    return {name: {shown(each): each.get_help_record(context)[1] for each in command.params}}


def shown(parameter: Any) -> str:
    """Return the flags of an option, or the name of an argument, and the metavar it was given."""
    flags = " / ".join(
        ", ".join(each) for each in (parameter.opts, parameter.secondary_opts) if each
    )
    return f"{flags} {parameter.metavar or ''}".strip()


COMMANDS = written(get_command(app))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_flags_are_as_written_down(command: str) -> None:
    assert COMMANDS[command] == json.loads(TABLE.read_text(encoding="utf-8")).get(command)


def test_every_command_is_written_down() -> None:
    assert sorted(COMMANDS) == sorted(json.loads(TABLE.read_text(encoding="utf-8")))


if __name__ == "__main__":
    text = json.dumps(COMMANDS, indent=1, sort_keys=True, ensure_ascii=False)
    TABLE.write_text(text + "\n", encoding="utf-8")
