"""SPLADE pooling without whole logits.

The logits of a batch, tokens times vocabulary, are the largest thing in SPLADE (1,024 tokens of a
30,522-term model: 125 MB) and nearly all of them are thrown away. Here the decoder runs block by
block over the vocabulary, and each block is pooled at once. As log(1 + ReLU(x)) rises with x, the
maximum is taken over bare logits and the activation applied to what is left.

Where the processor multiplies bfloat16 natively, the terms that can be active are first sought by
bfloat16 products that hold a rigorous bound on their own error; they alone are computed in float32.
"""

from __future__ import annotations

from typing import Any

VOCABULARY_BLOCK = 2048
SCREENED_LOGITS = 1 << 19
"""Products that are looked at together: 1 MiB of bfloat16 stays in the processor's cache."""
NORM_LIMIT = 100.0
"""Token states shorter than this cannot activate the terms that are left out."""

BFLOAT16_STEP = 2.0**-8
"""Twice the relative error of rounding to bfloat16."""


class LargestLogits:
    """max over tokens of ReLU(w_v . h_i + b_v) for every term v, by blocks.

    Args:
        weight: (vocabulary, hidden), on the device of the states.
        bias: (vocabulary,).
        screen: seek the terms in bfloat16 first; None where that is faster.
    """

    def __init__(self, weight: Any, bias: Any, *, screen: bool | None = None) -> None:
        import torch

        self._weight, self._bias = weight, bias
        if screen is None:
            screen = weight.device.type == "cpu" and multiplies_bfloat16()
        self._low = None
        if screen and weight.dtype == torch.float32:
            norms = torch.linalg.vector_norm(weight, dim=1)
            self.rows = torch.nonzero(norms * NORM_LIMIT + bias > 0).ravel()
            """The terms that states of usual length can activate at all."""
            self._low = _with_bounds(weight[self.rows], bias[self.rows], norms[self.rows])

    def __call__(self, hidden: Any, mask: Any) -> Any:
        """Return the maxima, (texts, vocabulary).

        Args:
            hidden: (texts, tokens, hidden) token states, in the precision of the weights.
            mask: bool (texts, tokens), true at tokens that count; at least one a text.
        """
        import torch

        hidden = _fill_padding(hidden, mask)
        if self._low is not None:
            lengths = torch.linalg.vector_norm(hidden.float(), dim=2, keepdim=True)
            if float(lengths.max()) < NORM_LIMIT:
                return self._screened(hidden, mask, lengths)
        return _maxima(hidden, self._weight).add_(self._bias).relu_()

    def _screened(self, hidden: Any, mask: Any, lengths: Any) -> Any:
        """Return the maxima of the terms that the bfloat16 products leave, computed anew."""
        import torch

        states = torch.cat([hidden, torch.ones_like(lengths), lengths], dim=2).bfloat16()
        candidates = _any_above_0(states, self._low)
        pooled = self._weight.new_zeros(len(hidden), len(self._weight))
        for row in range(len(hidden)):
            terms = self.rows[candidates[row]]
            exact = torch.mm(hidden[row, mask[row]], self._weight[terms].T).amax(dim=0)
            pooled[row, terms] = (exact + self._bias[terms]).relu_()
        return pooled


def _with_bounds(weight: Any, bias: Any, norms: Any) -> Any:
    """Return bfloat16 rows (w, b', m), whose product with (h, 1, |h|) is above 0 where w.h + b is.

    A bfloat16 product of w and h is within 2^-8 (1 + 2^-10) |w| |h| of w.h, so m is a little more
    than 2^-8 |w|, and b' a little more than b, by what rounding them may take off.
    """
    import torch

    bias = bias + BFLOAT16_STEP * bias.abs() + 1e-4
    bounds = BFLOAT16_STEP * (1 + 2.0**-5) * norms
    return torch.cat([weight, bias[:, None], bounds[:, None]], dim=1).bfloat16()


def _any_above_0(states: Any, weight: Any) -> Any:
    """Return whether a product of any token is above 0, bool (texts, rows of weight), by blocks.

    A bfloat16 is above 0 just where its bits, read as an integer, are: integers compare faster.
    """
    import torch

    texts, length, width = states.shape
    flat = states.reshape(texts * length, width)
    found = torch.empty(texts, len(weight), dtype=torch.bool, device=states.device)
    block = max(1, SCREENED_LOGITS // len(flat))
    for start in range(0, len(weight), block):
        product = torch.mm(flat, weight[start : start + block].T).view(torch.int16)
        found[:, start : start + block] = product.view(texts, length, -1).amax(dim=1) > 0
    return found


def summed_activations(hidden: Any, mask: Any, weight: Any, bias: Any, times: int) -> Any:
    """Return the sum over tokens of log(1 + ReLU(w_v . h_i + b_v)), (texts, vocabulary), by blocks.

    The pooling of the first SPLADE (Formal et al. 2021). ``times``: see :func:`activate`.
    """
    import torch

    texts, length, width = hidden.shape
    flat = hidden.reshape(texts * length, width)
    pooled = hidden.new_empty(texts, len(weight))
    for start in range(0, len(weight), VOCABULARY_BLOCK):
        window = slice(start, start + VOCABULARY_BLOCK)
        block = torch.addmm(bias[window], flat, weight[window].T).view(texts, length, -1)
        block = activate(block.relu_(), times).mul_(mask.unsqueeze(2))
        pooled[:, window] = block.sum(dim=1)
    return pooled


def activate(weights: Any, times: int) -> Any:
    """Return log(1 + x) in place, applied ``times`` times (twice in OpenSearch's v3 models)."""
    for _ in range(times):
        weights = weights.log1p_()
    return weights


def multiplies_bfloat16() -> bool:
    """Return whether the processor has bfloat16 products, so that they are faster than float32."""
    import torch

    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def _fill_padding(hidden: Any, mask: Any) -> Any:
    """Return token states with a real token of the same text at places that do not count.

    A repeated token changes no maximum, so the maximum needs no mask.
    """
    import torch

    if bool(mask.all()):
        return hidden
    real = mask.to(torch.uint8).argmax(dim=1)
    token = hidden[torch.arange(len(hidden), device=hidden.device), real]
    return torch.where(mask.unsqueeze(2), hidden, token.unsqueeze(1))


def _maxima(hidden: Any, weight: Any) -> Any:
    """Return max over tokens of hidden @ weight.T, (texts, rows of weight), block by block."""
    import torch

    texts, length, width = hidden.shape
    flat = hidden.reshape(texts * length, width)
    pooled = hidden.new_empty(texts, len(weight))
    for start in range(0, len(weight), VOCABULARY_BLOCK):
        block = torch.mm(flat, weight[start : start + VOCABULARY_BLOCK].T)
        pooled[:, start : start + VOCABULARY_BLOCK] = block.view(texts, length, -1).amax(dim=1)
    return pooled
