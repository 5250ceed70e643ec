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
from typer.testing import CliRunner

from hybrid.cli import application
from hybrid.cli.options import MANY

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


ONE_NAME = (
    ("-k", "--top-k"),
    ("-o", "--output", "--out"),
    ("--measure", "--measures"),
    ("--baseline", "--against"),
)
"""Flags of one option: a command that takes one of them takes all."""
WIDTH, LINES, FIRST_SCREEN = 120, 62, 30
SCREEN = {"build": 60, "evaluate": 50, "tune": 50}
"""The help of crowded commands has fewer lines."""
COMMANDS = written(get_command(application()))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_flags_are_as_written_down(command: str) -> None:
    assert COMMANDS[command] == json.loads(TABLE.read_text(encoding="utf-8")).get(command)


def test_every_command_is_written_down() -> None:
    assert sorted(COMMANDS) == sorted(json.loads(TABLE.read_text(encoding="utf-8")))


@pytest.mark.parametrize("flags", ONE_NAME, ids=" ".join)
def test_an_option_has_one_name_everywhere(flags: tuple[str, ...]) -> None:
    taken = [set(each.split(", ")) for options in COMMANDS.values() for each in options]
    found = [each & set(flags) for each in taken if each & set(flags)]
    assert len(found) > 1
    assert all(each == set(flags) for each in found)


@pytest.mark.parametrize("width", [100, 120])
@pytest.mark.parametrize("command", sorted(SCREEN))
def test_the_help_of_a_crowded_command_fits_a_screen_and_names_every_option(
    command: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", width)
    wide = {"COLUMNS": str(width)}
    for _ in range(2):  # what is rare in one is an option again in the next
        found = CliRunner().invoke(application(), [command, "--help"], env=wide).output
        assert len(found.splitlines()) < SCREEN[command]
        options = [each.split(" ")[0].split(",")[0] for each in COMMANDS[command]]
        assert all(each in found for each in options if each.startswith("--"))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_comes_in_panels_with_the_main_options_first(command: str) -> None:
    width = {"COLUMNS": str(WIDTH), "TERMINAL_WIDTH": str(WIDTH)}
    shown = (
        CliRunner()
        .invoke(application(), [*command.split(), "--help"], env=width)
        .output.splitlines()
    )
    panels = [line for line in shown if line.startswith("╭")]
    assert "Arguments" in panels[0] or "Options" in panels[0]
    assert len(shown) <= LINES
    parameters = len(COMMANDS[command])
    assert len(panels) > 2 or parameters <= MANY
    if len(panels) > 2:
        assert shown.index(panels[2]) <= FIRST_SCREEN


if __name__ == "__main__":
    text = json.dumps(COMMANDS, indent=1, sort_keys=True, ensure_ascii=False)
    TABLE.write_text(text + "\n", encoding="utf-8")
