"""A masked-language-model route of a SparseEncoder, taken apart into backbone and pooling."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from typing import Any

from hybrid.encoders.pooling import LargestLogits, activate, summed_activations

PROBE = "a probe of the head: the quick brown fox jumps over the lazy dog"
PROBE_TOLERANCE = 1e-3


class MlmRoute:
    """A Transformer with a linear decoder and SpladePooling; the logits never exist whole.

    Args:
        transformer, pooling: the two modules.
        screen: see :class:`~hybrid.encoders.pooling.LargestLogits`.
    """

    def __init__(self, transformer: Any, pooling: Any, *, screen: bool | None = None) -> None:
        self._transformer = transformer
        self._decoder = transformer.model.get_output_embeddings()
        self._activations = 2 if pooling.activation_function == "log1p_relu" else 1
        self._lock = Lock()
        self._weight = self._decoder.weight.detach()
        bias = self._decoder.bias
        self._bias = self._weight.new_zeros(len(self._weight)) if bias is None else bias.detach()
        self._largest = (
            LargestLogits(self._weight, self._bias, screen=screen)
            if pooling.pooling_strategy == "max"
            else None
        )

    def __call__(
        self, features: dict[str, Any], backbone: AbstractContextManager[Any] | None = None
    ) -> Any:
        """Return the weights of one batch, (texts, vocabulary), on the model's device.

        ``backbone`` is entered for the backbone's pass alone, for instance to lower its precision.
        """
        with self._lock, _identity(self._decoder), backbone or nullcontext():
            hidden = self._transformer(dict(features))["token_embeddings"]
        hidden = hidden.to(self._weight.dtype)
        mask = features["attention_mask"].bool()
        if self._largest is None:
            return summed_activations(hidden, mask, self._weight, self._bias, self._activations)
        return activate(self._largest(hidden, mask), self._activations)


def mlm_routes(model: Any) -> dict[str, MlmRoute | None]:
    """Return the routes of documents and queries; they are one where they share their modules."""
    documents = mlm_route(model, "document")
    shared = route_modules(model, "document") == route_modules(model, "query")
    return {"document": documents, "query": documents if shared else mlm_route(model, "query")}


def mlm_route(model: Any, task: str) -> MlmRoute | None:
    """Return the route that ``task`` takes through a SparseEncoder, taken apart.

    None where it is anything but a Transformer with a linear decoder and SpladePooling, or where
    the two ways of computing disagree on a probe: then the model's own pass is the way.
    """
    import torch
    from sentence_transformers.sparse_encoder.modules import SpladePooling

    modules = route_modules(model, task)
    if len(modules) != 2 or not isinstance(modules[1], SpladePooling):
        return None
    decoder = getattr(getattr(modules[0], "model", None), "get_output_embeddings", lambda: None)()
    if not isinstance(decoder, torch.nn.Linear):
        return None
    route = MlmRoute(*modules)
    features = {
        name: value.to(model.device) if hasattr(value, "to") else value
        for name, value in model.preprocess([PROBE], task=task).items()
    }
    with torch.inference_mode():
        expected = model(dict(features), task=task)["sentence_embedding"].float()
        found = route(features).float()
    same = found.shape == expected.shape and bool(
        torch.allclose(found, expected, atol=PROBE_TOLERANCE)
    )
    return route if same else None


def route_modules(model: Any, task: str) -> list[Any]:
    """Return the modules that a text of ``task`` passes; none where a router decides otherwise."""
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
    """Let the decoder hand its input on, so that the model gives the decoder's input."""
    decoder.forward = lambda hidden: hidden
    try:
        yield
    finally:
        del decoder.forward
