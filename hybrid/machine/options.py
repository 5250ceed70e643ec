"""Options: fields of a frozen dataclass that say how a person gives them.

A verb takes such a dataclass; the command line makes its flags of it. So the default of an option
and its help stand once, beside the field.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any, TypeVar

T = TypeVar("T")


def option(
    default: T,
    help: str,
    *,
    flags: Sequence[str] = (),
    read: Callable[[str], Any] | None = None,
    **shown: Any,
) -> T:
    """Return a dataclass field with this default, which a command can show as a flag.

    Args:
        default: of the field, and so of the flag.
        help: one line, in plain words.
        flags: as they are typed; made of the name of the field where empty.
        read: returns the value for a text, where the type of the field does not say how.
        shown: how the flag is shown: ``metavar``, ``rich_help_panel``.
    """
    described = {"help": help, "flags": tuple(flags), "read": read, "shown": shown}
    return field(default=default, metadata=described)
