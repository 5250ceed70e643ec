"""``hybrid.toml``: options of commands from a file; arguments and variables go before it.

The keys are the long options without their dashes, in a table for each command:

    [build]
    sparse = "builtin:splade"
    max-length = 128

    [search]
    top-k = 20

A variable such as ``HYBRID_BUILD_MAX_LENGTH`` goes before the file, an argument before both.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomllib  # type: ignore[import-not-found,unused-ignore]  # types are of 3.10

from hybrid.errors import UsageError

FILE = "hybrid.toml"
PREFIX = "HYBRID"


def defaults(path: Path | None, command: Any) -> dict[str, Any]:
    """Return command to option to value, in the form in which click takes defaults.

    Args:
        path: the file; None for ``hybrid.toml`` in the working folder, where there is one.
        command: the whole command line, a click group.

    Raises:
        UsageError: the file is missing, is not TOML, or has an unknown command or option.
    """
    found = _from_file(path, command)
    _from_variables(found, command, os.environ, PREFIX)
    return found


def _from_file(path: Path | None, command: Any) -> dict[str, Any]:
    if path is None:
        if not Path(FILE).is_file():
            return {}
        path = Path(FILE)
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"the configuration {path} cannot be read: {error}") from error
    return _checked(found, command, str(path))


def _checked(table: dict[str, Any], command: Any, where: str) -> dict[str, Any]:
    commands = getattr(command, "commands", {})
    options = {} if commands else _options(command)
    checked: dict[str, Any] = {}
    for key, value in table.items():
        flag = key.replace("_", "-")
        if key in commands:
            if not isinstance(value, dict):
                raise UsageError(f"{where}: {key} is a command; give its options as [{key}]")
            checked[key] = _checked(value, commands[key], f"{where}, [{key}]")
        elif flag in options and not isinstance(value, dict):
            checked[options[flag]] = value
        else:
            known = ", ".join(sorted(commands or options))
            raise UsageError(f"{where}: {key!r} is unknown; it may have {known}")
    return checked


def _from_variables(
    found: dict[str, Any], command: Any, variables: Mapping[str, str], prefix: str
) -> None:
    """Put ``PREFIX_COMMAND_OPTION`` variables into ``found``, over values of the file."""
    for name, each in getattr(command, "commands", {}).items():
        inner = dict(found.get(name, {}))
        _from_variables(inner, each, variables, f"{prefix}_{name.upper()}")
        if inner:
            found[name] = inner
    if not hasattr(command, "commands"):
        for flag, name in _options(command).items():
            value = variables.get(f"{prefix}_{flag.replace('-', '_').upper()}")
            if value is not None:
                found[name] = value


def _options(command: Any) -> dict[str, str]:
    """Return long option without dashes, or the short one alone, to the name of its parameter."""
    found = {}
    for parameter in command.params:
        long = [flag for flag in parameter.opts if flag.startswith("--")]
        for flag in long or [flag for flag in parameter.opts if flag.startswith("-")]:
            found[flag.lstrip("-")] = parameter.name
    return {flag: name for flag, name in found.items() if flag != "help"}
