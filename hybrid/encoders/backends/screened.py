"""The expansion of a SPLADE head in ONNX, without float products of every token with every term.

A query activates a few dozen of some 30,000 terms. An integer product that holds a rigorous bound
on its own error leaves out nearly all others; what is left is computed in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

STATE_LEVELS, WEIGHT_LEVELS = 63, 127
"""Codes of states have 7 bits: no processor's 16-bit sums of two products overflow."""
SLACK = 1e-3
"""More than float32 rounds off the bound, for states and weights of usual length."""


def screened_expansion(weight: Any, bias: Any) -> Callable[[Any], Any]:
    """Return a function to be exported: the expansion of the token states of one text.

    That is ReLU(max over tokens of weight . state + bias): (1, tokens, hidden) to (1, terms).

    Args:
        weight: float32 (terms, hidden).
        bias: float32 (terms,).
    """
    import torch

    steps = weight.abs().amax(1).clamp(min=1e-30) / WEIGHT_LEVELS
    codes = (weight / steps[:, None]).round().to(torch.int8)
    stored = codes * steps[:, None]
    lost = torch.linalg.vector_norm(weight - stored, dim=1)
    norms = torch.linalg.vector_norm(stored, dim=1)
    floor = bias + bias.abs() * 1e-5 + SLACK

    class Product(torch.autograd.Function):
        """Codes of states times codes of weights, exact, int32."""

        @staticmethod
        def forward(_: Any, states: Any) -> Any:
            return ((states.double() - STATE_LEVELS) @ codes.double().T).int()

        @staticmethod
        def symbolic(graph: Any, states: Any) -> Any:
            values = codes.T.contiguous(), torch.tensor(STATE_LEVELS, dtype=torch.uint8)
            constants = [graph.op("Constant", value_t=value) for value in values]
            return graph.op("MatMulInteger", states, *constants)

    def expansion(hidden: Any) -> Any:
        step = hidden.abs().amax().clamp(min=1e-30) / STATE_LEVELS
        rounded = (hidden / step).round()
        states = (rounded + STATE_LEVELS).to(torch.uint8)
        products = Product.apply(states)  # type: ignore[no-untyped-call]
        length = torch.linalg.vector_norm(hidden, dim=2).amax()
        missed = torch.linalg.vector_norm(hidden - rounded * step, dim=2).amax()
        largest = products.amax(1)[0].float() * (step * steps)
        active = largest + (length * lost + missed * norms + floor) > 0
        terms = active.nonzero()[:, 0]
        exact = hidden[0] @ weight.index_select(0, terms).T + bias.index_select(0, terms)
        found = exact.amax(0).relu()[None]
        return torch.zeros_like(bias)[None].scatter(1, terms[None], found)

    return expansion
