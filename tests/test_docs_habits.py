"""The commands and flags that docs/habits.md promises exist, and every habit has a verdict."""

from __future__ import annotations

import re
from pathlib import Path

from tests.test_cli_options import COMMANDS

PAGE = (Path(__file__).parent.parent / "docs" / "habits.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (?!habit|---)(.+) \| (.+) \| (.*) \|$", PAGE, re.MULTILINE)
GLOBAL = {"--version", "--json"}


def test_every_habit_is_met_partly_met_or_not() -> None:
    assert len(ROWS) > 30
    assert {verdict for _, verdict, _ in ROWS} == {"yes", "partly", "no"}
    assert all(how for _, verdict, how in ROWS if verdict != "no")


def test_every_command_and_flag_exists() -> None:
    flags = {part for options in COMMANDS.values() for each in options for part in each.split()}
    known = GLOBAL | {flag.strip(",") for flag in flags}
    for code in re.findall(r"`([^`]+)`", PAGE):
        named = set(re.findall(r"--[a-z-]+", code))
        assert named <= known, code
        if code.startswith("hybrid "):
            words = code.split()[1:]
            command = next(
                (each for each in (" ".join(words[:2]), words[0]) if each in COMMANDS), None
            )
            assert command is not None, code
            own = {flag.strip(",") for each in COMMANDS[command] for flag in each.split()}
            assert named <= own, code
