"""How much of a campaign runs: HYBRID_FAULTS = quick (default), more (`make faults`) or full."""

from __future__ import annotations

import os
from typing import TypeVar

Number = TypeVar("Number")
SIZE = os.environ.get("HYBRID_FAULTS", "quick")


def sized(quick: Number, more: Number, full: Number) -> Number:
    """Return the value for the size that was asked for."""
    return {"quick": quick, "more": more, "full": full}[SIZE]
