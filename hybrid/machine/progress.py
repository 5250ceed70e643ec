"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

StartProgress: TypeAlias = Callable[[str, int | None], Callable[[int], None]]
"""Called with a label and a total; returns a callback that takes newly finished items."""


def no_progress(label: str, total: int | None) -> Callable[[int], None]:
    """Return a callback that shows nothing."""
    return lambda count: None
