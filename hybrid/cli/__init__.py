"""The command line: each module parses the arguments of its commands, calls the library, prints.

Only the module of the command that was typed is loaded.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import takewhile
from pathlib import Path

import typer

from hybrid.cli import app as line
from hybrid.cli.config import FILE

COMMANDS = {
    "about": "info estimate doctor models demo",
    "build": "build",
    "cache": "cache",
    "change": "add delete compact",
    "copies": "snapshot restore push pull export",
    "evaluate": "evaluate",
    "guard": "verify rebuild",
    "report": "report plot",
    "runs": "fuse compare",
    "search": "search explain",
    "serve": "serve mcp replay",
    "train": "train",
    "tune": "tune",
}
"""Modules of `hybrid.cli.commands`, in the order of the help, and the commands of each."""


def application(arguments: Sequence[str] = ()) -> typer.Typer:
    """Return the application: with all commands, or with those that the arguments can mean.

    A configuration file may have options of any command, so all are loaded where there is one, as
    for ``--help`` before a command, which lists them.
    """
    before = list(takewhile(lambda each: each.startswith("-"), arguments))
    first = "".join(arguments[len(before) : len(before) + 1])
    module = next((name for name, said in COMMANDS.items() if first in said.split()), None)
    configured = any(each.startswith("--config") for each in arguments) or Path(FILE).is_file()
    for name in COMMANDS if module is None or configured or "--help" in before else [module]:
        import_module(f"hybrid.cli.commands.{name}")
    return line.app


def main() -> None:
    """Run the command line: results on stdout, messages on stderr, non-zero status on failure."""
    # Little of a command is garbage: looking for it while modules load takes a tenth of a query.
    gc.set_threshold(50_000)
    application(sys.argv[1:])
    line.main()
