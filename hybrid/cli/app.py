"""The Typer application, its consoles, and how an error becomes an exit status."""

from __future__ import annotations

import json
import logging
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text
from typer.core import TyperGroup

from hybrid.cli.config import defaults
from hybrid.errors import HybridError, UsageError
from hybrid.version import __version__


class Commands(TyperGroup):
    """The commands; an option of ``hybrid`` itself that comes after one is told its place."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was typed."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            told: Any = error
            for each in self.params:
                name = getattr(error, "option_name", None)
                if name in each.opts:
                    value = "" if getattr(each, "is_flag", False) else " FILE"
                    place = f"hybrid {name}{value} {ctx.invoked_subcommand} ..."
                    told.message += f"; it stands before the command: {place}"
                    told.possibilities = None
            raise


app = typer.Typer(
    name="hybrid",
    cls=Commands,
    help="Hybrid retrieval: build, search, tune and evaluate a sparse and a dense branch together.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Return a text without characters that a terminal would obey, line breaks aside.

    >>> printable("  a\\x1b[2Jb")
    '  a\ufffd[2Jb'
    """
    return _CONTROL.sub("\ufffd", text)


class SafeConsole(Console):
    """A console that prints no control character of a text or a cell of a table."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the printable text as Rich draws it."""
        return super().render_str(printable(text), **options)


out = SafeConsole(soft_wrap=True, highlight=False, emoji=False)
err = SafeConsole(stderr=True, highlight=False, emoji=False)

INTERRUPTED = 130


ENCODED = (
    "of the texts that were encoded, all but the last 1,024 at most are kept; run the same command "
    "again to go on"
)


class StoppedError(Exception):
    """Ctrl-C in a command that can say what it kept."""


@contextmanager
def stoppable(kept: str) -> Iterator[None]:
    """Let Ctrl-C in the block say what is kept.

    Raises:
        StoppedError: there was one.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise StoppedError(f"interrupted; {kept}") from None


def example(text: str) -> str:
    """Return the last paragraph of a command's help: one example that runs.

    >>> example("hybrid info my.idx")
    'Example: hybrid info my.idx'
    """
    return f"Example: {text}"


def _version(asked: bool) -> None:
    if asked:
        out.print(f"hybrid {__version__}", markup=False)
        raise typer.Exit


@app.callback()
def start(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="no progress, no notes")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="log what is done")] = False,
    config: Annotated[
        Path | None,
        typer.Option(help="options from this file; default: hybrid.toml here, where there is one"),
    ] = None,
) -> None:
    """Hybrid retrieval: build, search, tune and evaluate a sparse and a dense branch together."""
    if quiet and verbose:
        raise UsageError("--quiet and --verbose are opposites; give one of them")
    err.quiet = quiet
    level = logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING
    logging.basicConfig(format="%(asctime)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("hybrid").setLevel(level)
    context.default_map = defaults(config, context.command)


def print_json(value: object) -> None:
    """Write one JSON value to stdout, where a program reads it."""
    plain = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    text = json.dumps(value, indent=2, ensure_ascii=plain, allow_nan=False)
    # JSON itself escapes the control characters below these.
    text = re.sub("[\x7f-\x9f]", lambda found: f"\\u{ord(found[0]):04x}", text)
    sys.stdout.write(text + "\n")


def print_result(value: object, lines: Iterable[str], *, as_json: bool) -> None:
    """Write a result to stdout: one JSON value for a program, or lines for a person."""
    if as_json:
        print_json(value)
        return
    for line in lines:
        out.print(line, markup=False)


def print_alarms(alarms: Iterable[str]) -> None:
    """Write alarms about the rows of a branch, each with a remedy, to stderr."""
    for alarm in alarms:
        err.print(f"[bold red]alarm:[/bold red] {_escaped(alarm)}", soft_wrap=True)


def main() -> None:
    """Run the command line: results on stdout, messages on stderr, non-zero status on failure."""
    warnings.showwarning = lambda message, *_, **__: err.print(
        f"[bold yellow]warning:[/bold yellow] {_escaped(str(message))}", soft_wrap=True
    )
    try:
        app()
    except HybridError as error:
        err.quiet = False
        err.print(f"[red]error:[/red] {_escaped(str(error))}", soft_wrap=True)
        raise SystemExit(1) from None
    except StoppedError as stopped:
        err.print(str(stopped), markup=False, soft_wrap=True)
        raise SystemExit(INTERRUPTED) from None
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            err.print("interrupted; run the same command again")
        raise


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")
