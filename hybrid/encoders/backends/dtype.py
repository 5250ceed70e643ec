"""Documents by bfloat16 products: where the processor has them, and the model bears them."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from hybrid.encoders.backends.convert import PROBE
from hybrid.encoders.dense import TransformerEncoder
from hybrid.encoders.pooling import multiplies_bfloat16
from hybrid.encoders.splade import SpladeEncoder
from hybrid.encoders.splade_sum import SumEncoder
from hybrid.errors import ModelError, UsageError

LOG = logging.getLogger(__name__)
Dtype = Literal["float32", "bfloat16"]
DISTANCE = 0.05
"""How far a document of the probe may lie from float32, of its length: a cosine of .9988."""


def settle_dtype(encoder: object, asked: Literal["float32", "bfloat16", "auto"]) -> Dtype:
    """Return the dtype of an encoder's documents, which is set there.

    Args:
        encoder: just loaded, in float32.
        asked: "auto" is bfloat16 where the device multiplies it, and the model is of torch and lies
            near float32 on a probe.

    Raises:
        UsageError: bfloat16 is asked for, and the model is not of torch.
        ModelError: bfloat16 is asked for, and lies too far.
    """
    if asked == "float32":
        return "float32"
    if isinstance(encoder, SumEncoder):
        found = {settle_dtype(part, asked) for part in encoder.parts}
        both: Dtype = "bfloat16" if found == {"bfloat16"} else "float32"
        for part in encoder.parts:
            part.options = replace(part.options, dtype=both)
        return both
    if not isinstance(encoder, TransformerEncoder | SpladeEncoder):
        if asked == "auto":
            return "float32"
        raise UsageError("a model runs as it is and takes no dtype; leave it out, or give auto")
    if asked == "auto" and not _multiplies(encoder.model.device):
        return "float32"
    exact = _probed(encoder)
    encoder.options = replace(encoder.options, dtype="bfloat16")
    distance = np.linalg.norm(_probed(encoder) - exact, axis=1)
    if (distance <= DISTANCE * np.linalg.norm(exact, axis=1)).all():  # false for NaN
        return "bfloat16"
    encoder.options = replace(encoder.options, dtype="float32")
    told = (
        f"{encoder.fingerprint['model']} in bfloat16 lies {distance.max():.1e} from float32 on the "
        f"probe, more than {DISTANCE:g} of a document's length; use the dtype float32"
    )
    if asked == "bfloat16":
        raise ModelError(told)
    LOG.info("%s", told)
    return "float32"


def _multiplies(device: Any) -> bool:
    """Return whether bfloat16 products are faster than float32 on a device."""
    if device.type == "cpu":
        return multiplies_bfloat16()
    import torch

    return device.type == "cuda" and bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _probed(encoder: TransformerEncoder | SpladeEncoder) -> Any:
    """Return the probe as documents, float32 (texts, width)."""
    rows = encoder.encode_documents(PROBE)
    return rows if isinstance(rows, np.ndarray) else rows.toarray()
