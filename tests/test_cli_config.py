"""Argument beats variable beats file beats default; unknown keys are refused; quiet and verbose."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from rich.console import Console

from hybrid.cli import output
from hybrid.version import __version__
from tests.test_cli import Command, hybrid_command

__all__ = ["hybrid_command"]


def hits(out: str) -> int:
    return sum(line.lstrip()[:1].isdigit() for line in out.splitlines())


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_order_of_argument_variable_file_and_default(
    hybrid_command: Command, tiny_index: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = ("search", tiny_index, "a file in a thread to the socket", "--json")
    long = "--top-k" in hybrid_command("search", "--help")[1]
    key = "top-k" if long else "k"
    config = here / "hybrid.toml"
    count = [hybrid_command(*search)[1].count('"doc_id"')]
    config.write_text(f"[search]\n{key} = 4\n")
    count.append(hybrid_command(*search)[1].count('"doc_id"'))
    monkeypatch.setenv(f"HYBRID_SEARCH_{key.upper().replace('-', '_')}", "3")
    count.append(hybrid_command(*search)[1].count('"doc_id"'))
    count.append(hybrid_command(*search, "-k", "2")[1].count('"doc_id"'))
    assert count == [10, 4, 3, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sarch]\n", "'sarch' is unknown; it may have add, build"),
        ("[build]\nspars = 'x'\n", "[build]: 'spars' is unknown; it may have"),
        ("build = 3\n", "build is a command; give its options as [build]"),
        ("[build\n", "cannot be read"),
        ("[models.list]\nnope = 1\n", "[models], [list]: 'nope' is unknown"),
    ],
)
def test_a_file_with_an_unknown_key_is_refused(
    hybrid_command: Command, here: Path, text: str, message: str
) -> None:
    config = here / "other.toml"
    config.write_text(text)
    status, _, err = hybrid_command("--config", config, "info", "x.idx")
    assert status == 1
    assert message in err


def test_a_file_that_is_named_must_be_there(hybrid_command: Command, here: Path) -> None:
    status, _, err = hybrid_command("--config", here / "absent.toml", "info", "x.idx")
    assert status == 1
    assert "absent.toml cannot be read" in err


def test_version_quiet_and_verbose(hybrid_command: Command, tiny_index: Path) -> None:
    assert hybrid_command("--version")[:2] == (0, f"hybrid {__version__}\n")
    status, _, err = hybrid_command("-q", "search", tiny_index, "zzz", "--fusion", "bm25")
    assert (status, err) == (0, "")
    status, _, err = hybrid_command("-q", "info", "absent.idx")
    assert status == 1
    assert "error:" in err
    status, _, err = hybrid_command("-q", "-v", "info", tiny_index)
    assert "--quiet and --verbose are opposites" in err
    hybrid_command("-v", "info", tiny_index)
    assert logging.getLogger("hybrid").level == logging.INFO


def test_progress_without_a_terminal_is_plain_lines(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 6.0, 7.0, 20.0])
    monkeypatch.setattr(output, "monotonic", lambda: next(clock))
    with output.progress_bars(Console(stderr=True, force_terminal=False)) as start:
        done = start("encoding", 100)
        for count in (10, 50, 10, 30):
            done(count)
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["encoding: 60/100, 10.0/s, 0:00:04 left", "encoding: 100/100, 5.0/s"]


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        (("info", "x.idx", "--config", "other.toml"), "hybrid --config FILE info ..."),
        (("models", "list", "-q"), "hybrid -q models ..."),
    ],
)
def test_an_option_of_all_commands_stands_before_the_command(
    hybrid_command: Command, arguments: tuple[str, ...], place: str
) -> None:
    status, _, err = hybrid_command(*arguments)
    assert status == 2
    told = " ".join(err.replace("│", " ").split())
    assert f"it stands before the command: {place}" in told
    status, _, err = hybrid_command("info", "x.idx", "--confi", "other.toml")
    assert status == 2
    assert "stands before" not in err
