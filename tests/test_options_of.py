from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from typer.testing import CliRunner

from hybrid.cli.options import Shown, options_of
from hybrid.errors import UsageError
from hybrid.machine.options import option


@dataclass(frozen=True)
class Inner:
    quiet: bool = option(False, "say little")
    gains: str = option("", "gain of each grade")


@dataclass(frozen=True)
class Options:
    count: int = option(3, "how many")
    limit: float | None = option(None, "how far")
    name: str = option("a", "how it is called", flags=("--called", "-c"))
    place: str | Path | None = option(None, "where", metavar="FOLDER")
    way: Literal["left", "right"] = option("left", "which way")
    stored: bool = option(True, "whether it is stored")
    parts: tuple[str, ...] = option((), "a part; may be repeated")
    fields: tuple[str, ...] = option((), "names with commas", read=lambda text: text.split(","))
    memory: int | None = option(None, "bytes", read=int)
    inner: Inner = field(default_factory=Inner)
    hidden: int = 7

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UsageError(f"count is {self.count}; give 1 or more")


def run(*arguments: str, shown: Shown | None = None) -> Options:
    """Return the options that a command gets for these arguments."""
    seen: list[Options] = []
    app = typer.Typer()

    def command(
        where: Annotated[str, typer.Argument()], options: Options, loud: bool = False
    ) -> None:
        seen.append(options)

    command.__annotations__["options"] = Annotated[Options, shown or Shown()]
    app.command()(options_of(command))
    result = CliRunner().invoke(app, ["here", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return seen[0]


def test_without_flags_every_default_is_the_one_of_the_dataclass() -> None:
    assert run() == Options()


def test_every_kind_of_field_is_read() -> None:
    typed = (
        "--count 5 --limit .5 -c b --place x --way right --no-stored --parts p --parts q "
        "--fields f,g --memory 9 --quiet --gains 1=2"
    )
    found = run(*typed.split())
    assert found == Options(
        count=5,
        limit=0.5,
        name="b",
        place=Path("x"),
        way="right",
        stored=False,
        parts=("p", "q"),
        fields=["f", "g"],  # type: ignore[arg-type]
        memory=9,
        inner=Inner(quiet=True, gains="1=2"),
    )


def test_a_field_without_help_is_no_flag() -> None:
    with pytest.raises(AssertionError, match="hidden"):
        run("--hidden", "8")


def test_a_command_shows_some_of_the_fields() -> None:
    assert run("--count", "4", shown=Shown(only=("count",))) == Options(count=4)
    with pytest.raises(AssertionError, match="quiet"):
        run("--quiet", shown=Shown(without=("quiet",)))


def test_a_refused_value_is_the_error_of_the_dataclass() -> None:
    with pytest.raises(UsageError, match="count is 0"):
        run("--count", "0")


def test_another_word_than_those_of_a_choice_is_refused() -> None:
    with pytest.raises(AssertionError, match="left"):
        run("--way", "up")
