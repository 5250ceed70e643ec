"""A warning of work on a GPU: none has confirmed it."""

from __future__ import annotations

import warnings


def warn_unconfirmed(work: str, device: str) -> None:
    """Warn that no GPU has confirmed some work on a device, which Python shows once.

    Args:
        work: such as "the dense search".
        device: as torch names it; nothing is said of the CPU.
    """
    if device.startswith("cuda"):
        told = f"{work} on {device} was never confirmed on a GPU; `make test-gpu` does that"
        warnings.warn(f"{told}, and device 'cpu' does without one", RuntimeWarning, stacklevel=3)
