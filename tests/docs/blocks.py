"""Blocks of the documents: read from a page, run in its folder, their output compared.

A block of ``python`` or ``console`` is run, unless ``<!-- not run: reason -->`` stands above it.
All python blocks of a page share one namespace. What a python block prints is shown in a block
``text title="prints"`` after it; after a ``$ command`` follows what it prints. Output that is not
shown is not compared; ``...`` stands for any text.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from hybrid.cli import application
from hybrid.encoders import load_cross
from hybrid.errors import HybridError

FENCE = re.compile(
    r"^(?:<!-- not run: (?P<reason>.+?) -->\n)?```(?P<info>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
PRINTS = 'text title="prints"'
RUN = ("python", "console")
NUMBER = re.compile(r"-?\d*\.\d+")
LIMIT = 120
FETCHED = "it needs `hybrid models fetch cross-encoder`"
"""Why a block is not run where that model is absent; elsewhere it is."""
ENGINES = "it needs a server; `make test-engines` runs it"
"""Why a block is not run with its page."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, text and first line; why it is not run; what it prints."""

    language: str
    text: str
    line: int
    reason: str | None = None
    prints: str | None = None


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page, each python block with the output shown after it."""
    found: list[Block] = []
    for match in FENCE.finditer(page):
        info, text = match["info"], match["text"]
        if info == PRINTS:
            last = found.pop()
            assert last.language == "python", f"nothing prints {text!r}"
            found.append(Block("python", last.text, last.line, last.reason, text))
            continue
        line = page[: match.start("text")].count("\n") + 1
        found.append(Block(info, text, line, match["reason"]))
    return found


def commands(text: str) -> list[tuple[str, str]]:
    """Return (command, output shown) of each ``$`` of a console block.

    >>> commands("$ echo a\\na\\n$ true\\n")
    [('echo a', 'a'), ('true', '')]
    """
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
    assert not parts[0].strip(), f"a console block begins with '$ ', not {parts[0]!r}"
    found = []
    for part in parts[1:]:
        command, _, output = part.replace("\\\n", " ").partition("\n")
        found.append((command, output.strip("\n")))
    return found


def same(shown: str, printed: str) -> bool:
    """Return whether an output is the one shown: white space aside, fractions to two last digits.

    >>> same("1 a.b ...", "1  a.b   0.4311\\n2 c"), same("0.431", "0.433"), same("0.431", "0.44")
    (True, True, False)
    """
    pattern, fractions = "", []
    for token in re.split(rf"(\.\.\.|\s+|{NUMBER.pattern})", shown.strip()):
        if token == "...":
            pattern += ".*?"
        elif token.isspace():
            pattern += r"\s+"
        elif NUMBER.fullmatch(token):
            pattern += rf"({NUMBER.pattern})"
            fractions.append(token)
        else:
            pattern += re.escape(token)
    match = re.fullmatch(pattern, printed.strip(), re.DOTALL)
    return match is not None and all(
        abs(float(here) - float(there)) <= 2.01 * 10.0 ** -len(here.partition(".")[2])
        for here, there in zip(fractions, match.groups(), strict=True)
    )


def fetched() -> bool:
    """Return whether the cross-encoder is there."""
    try:
        load_cross("builtin:cross-encoder")
    except HybridError:
        return False
    return True


def run_command(command: str, folder: Path) -> str:
    """Return what a command prints on stdout; ``hybrid`` runs in this process."""
    if command.startswith("hybrid ") and not re.search(r"[|>&;$]", command):
        result = CliRunner().invoke(application(), shlex.split(command)[1:])
        assert result.exit_code == 0, f"{command}\n{result.output[-3000:]}"
        return result.stdout
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stderr[-3000:]}"
    return done.stdout


def run_python(block: Block, name: str, names: dict[str, object]) -> str:
    """Return what a block prints; its doctests are compared here."""
    if block.text.startswith(">>> "):
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        test = doctest.DocTestParser().get_doctest(block.text, names, name, name, block.line)
        report = io.StringIO()
        runner = doctest.DocTestRunner(optionflags=flags)
        runner.run(test, out=report.write, clear_globs=False)
        names.update(test.globs)
        assert not runner.failures, report.getvalue()
        return ""
    printed = io.StringIO()
    code = compile("\n" * block.line + block.text, name, "exec", dont_inherit=True)
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    return printed.getvalue()


def run_page(
    path: Path, folder: Path, reason: str | None = None, replaced: Mapping[str, str] | None = None
) -> None:
    """Run the blocks of a page that are not run for ``reason``; None for those that are.

    ``folder`` is the working folder; ``replaced`` are texts of the page to what stands for them.
    """
    names: dict[str, object] = {"__name__": "__main__"}
    page = path.read_text(encoding="utf-8")
    for old, new in (replaced or {}).items():
        page = page.replace(old, new)
    reasons = [reason] if reason or not fetched() else [None, FETCHED]
    for block in blocks(page):
        where = f"{path.name}, line {block.line}"
        if block.reason not in reasons or block.language not in RUN:
            continue
        if block.language == "python":
            shown = [(block.prints or "", run_python(block, str(path), names))]
        else:
            shown = [(output, run_command(each, folder)) for each, output in commands(block.text)]
        for expected, printed in shown:
            assert not expected or same(expected, printed), f"{where} prints\n{printed}"
