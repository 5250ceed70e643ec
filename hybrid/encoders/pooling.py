"""SPLADE pooling without whole logits.

The logits of a batch, tokens times vocabulary, are the largest thing in SPLADE (1,024 tokens of a
30,522-term model: 125 MB) and nearly all of them are thrown away. Here the decoder runs block by
block over the vocabulary, and each block is pooled at once. As log(1 + ReLU(x)) rises with x, the
maximum is taken over bare logits and the activation applied to what is left.

Where the processor multiplies bfloat16 natively, max pooling first finds which terms can be active
at all, in bfloat16 with a rigorous bound on its error, and computes these terms alone in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from typing import Any

VOCABULARY_BLOCK = 2048
NORM_LIMIT = 100.0
"""Hidden states shorter than this cannot activate the rows that are left out."""

PROBE = "a probe of the head: the quick brown fox jumps over the lazy dog"
PROBE_TOLERANCE = 1e-3
BFLOAT16_STEP = 2.0**-8
"""Twice the relative error of rounding to bfloat16."""


class SpladeHead:
    """The decoder and the pooling of a SPLADE route, taken apart from its backbone.

    Args:
        transformer: the sentence-transformers Transformer with an MLM head.
        pooling: its SpladePooling.
        screen: look for the candidate terms in bfloat16 first; None where that is faster.
    """

    def __init__(self, transformer: Any, pooling: Any, *, screen: bool | None = None) -> None:
        import torch

        self._transformer = transformer
        self._decoder = transformer.model.get_output_embeddings()
        self._strategy = pooling.pooling_strategy
        self._activations = 2 if pooling.activation_function == "log1p_relu" else 1
        self._lock = Lock()
        weight = self._decoder.weight.detach()
        bias = self._decoder.bias
        bias = weight.new_zeros(len(weight)) if bias is None else bias.detach()
        norms = torch.linalg.vector_norm(weight.float(), dim=1)
        self._rows = torch.nonzero(norms * NORM_LIMIT + bias > 0).ravel()
        self._every = (weight, bias, norms)
        self._likely = (weight[self._rows], bias[self._rows], norms[self._rows])
        if screen is None:
            screen = weight.device.type == "cpu" and _multiplies_bfloat16()
        screen = screen and self._strategy == "max" and weight.dtype == torch.float32
        self._low = self._likely[0].bfloat16() if screen else None

    @property
    def size(self) -> int:
        """Return the number of terms."""
        return len(self._every[0])

    def __call__(
        self, features: dict[str, Any], backbone: AbstractContextManager[Any] | None = None
    ) -> Any:
        """Return the weights of one batch, float32 (texts, vocabulary), on the model's device.

        ``backbone`` is entered for the backbone's pass alone, for instance to lower its precision.
        """
        import torch

        with self._lock, _identity(self._decoder), backbone or nullcontext():
            hidden = self._transformer(dict(features))["token_embeddings"]
        hidden = hidden.to(self._decoder.weight.dtype)
        mask = features["attention_mask"].bool()
        hidden = _fill_padding(hidden, mask)
        likely = float(torch.linalg.vector_norm(hidden.float(), dim=2).max()) < NORM_LIMIT
        weight, bias, _ = self._likely if likely else self._every
        if self._strategy == "sum":
            pooled = _summed(hidden, mask, weight, bias, self._activations)
        elif self._low is not None and likely:
            pooled = self._screened(hidden, mask)
        else:
            pooled = _maxima(hidden, weight).add_(bias)
        if self._strategy == "max":
            pooled = _activate(pooled, self._activations)
        if not likely:
            return pooled
        return pooled.new_zeros(len(pooled), self.size).index_copy_(1, self._rows, pooled)

    def _screened(self, hidden: Any, mask: Any) -> Any:
        """Return the maxima of the logits where they can be above 0, elsewhere -1.

        A bfloat16 product z' of w and h is within 2^-8 |w| |h| + 2^-8 |z'| of w.h.
        """
        import torch

        weight, bias, norms = self._likely
        rough = _maxima(hidden.bfloat16(), self._low).float()
        reach = torch.linalg.vector_norm(hidden, dim=2).amax(dim=1, keepdim=True)
        margin = BFLOAT16_STEP * (norms * reach + rough.abs()) + 1e-4
        candidates = rough + bias + margin > 0
        pooled = torch.full_like(rough, -1.0)
        for row in range(len(hidden)):
            terms = candidates[row].nonzero().ravel()
            exact = torch.mm(hidden[row, mask[row]], weight[terms].T).amax(dim=0) + bias[terms]
            pooled[row, terms] = exact
        return pooled


def splade_head(model: Any, task: str) -> SpladeHead | None:
    """Return the head of the route that ``task`` takes through a SparseEncoder, taken apart.

    None where the route is anything but a Transformer with a linear decoder and SpladePooling, or
    where the two ways of computing disagree on a probe: then the model's own pass is the way.
    """
    import torch
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    modules = _route(model, task)
    if len(modules) != 2 or not isinstance(modules[1], SpladePooling):
        return None
    decoder = getattr(getattr(modules[0], "model", None), "get_output_embeddings", lambda: None)()
    if not isinstance(decoder, torch.nn.Linear):
        return None
    head = SpladeHead(*modules)
    features = model.preprocess([PROBE], task=task)
    features = {
        name: value.to(model.device) if hasattr(value, "to") else value
        for name, value in features.items()
    }
    with torch.inference_mode():
        expected = model(dict(features), task=task)["sentence_embedding"].float()
        found = head(features)
    same = found.shape == expected.shape and bool(
        torch.allclose(found, expected, atol=PROBE_TOLERANCE)
    )
    return head if same else None


def _route(model: Any, task: str) -> list[Any]:
    """Return the modules that a text of ``task`` passes, routers resolved."""
    from sentence_transformers.sparse_encoder.modules import Router

    modules: list[Any] = []
    for module in model:
        if isinstance(module, Router):
            if module.route_mappings or task not in module.sub_modules:
                return []
            modules += list(module.sub_modules[task])
        else:
            modules.append(module)
    return modules


@contextmanager
def _identity(decoder: Any) -> Iterator[None]:
    """Let the decoder hand its input on, so that the model gives what goes into the decoder."""
    decoder.forward = lambda hidden: hidden
    try:
        yield
    finally:
        del decoder.forward


def _fill_padding(hidden: Any, mask: Any) -> Any:
    """Return hidden states with a real token of the same text at padded places.

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


def _summed(hidden: Any, mask: Any, weight: Any, bias: Any, activations: int) -> Any:
    """Return the sum over tokens of the activated logits, block by block."""
    import torch

    texts, length, width = hidden.shape
    flat = hidden.reshape(texts * length, width)
    pooled = hidden.new_empty(texts, len(weight))
    for start in range(0, len(weight), VOCABULARY_BLOCK):
        window = slice(start, start + VOCABULARY_BLOCK)
        block = torch.addmm(bias[window], flat, weight[window].T).view(texts, length, -1)
        block = _activate(block, activations).mul_(mask.unsqueeze(2))
        pooled[:, window] = block.sum(dim=1)
    return pooled


def _activate(logits: Any, times: int) -> Any:
    """Return log(1 + ReLU(x)) in place, the logarithm applied ``times`` times."""
    logits = logits.relu_()
    for _ in range(times):
        logits = logits.log1p_()
    return logits


def _multiplies_bfloat16() -> bool:
    """Return whether the processor has bfloat16 products, so that they are faster than float32."""
    import torch

    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
