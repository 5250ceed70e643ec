"""The commands of docs/training.md: each parses, and names what exists."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import typer

from hybrid.cli import application
from hybrid.training.recipes import RECIPES, parse_teacher

PAGE = (Path(__file__).parent.parent / "docs" / "training.md").read_text(encoding="utf-8")
COMMANDS = [line[2:] for line in PAGE.splitlines() if line.startswith("$ hybrid ")]


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_parses(line: str) -> None:
    _, name, *arguments = shlex.split(line)
    command = typer.main.get_command(application()).commands[name]  # type: ignore[attr-defined]
    while hasattr(command, "commands"):
        name, *arguments = arguments
        command = command.commands[name]
    given = command.make_context(name, arguments).params
    for teacher in given.get("teachers") or ():
        assert parse_teacher(teacher).weight > 0
    assert given.get("recipe", "splade-max") in RECIPES


def test_the_page_names_every_recipe_and_every_script() -> None:
    assert len(COMMANDS) >= 8
    assert all(f"| `{name}` |" in PAGE for name in RECIPES)
    for script in ("benchmarks/sparse_pruning.py", "pipelines/sweep_sparsity.py"):
        assert script in PAGE
        assert (Path(__file__).parent.parent / script).is_file()
