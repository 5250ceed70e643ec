"""A model's queries in ONNX: converted once, held against the model on a probe, kept in the cache.

The whole way of a query through the model is converted, pooling and head included. The entry also
holds what the model's own encoder says of itself, so that nothing of torch is loaded to use it.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hybrid.encoders.backends.onnx import TOKENIZER, WEIGHTS
from hybrid.encoders.backends.queries import (
    ENCODED,
    FACTS,
    POOLED,
    STATES,
    OnnxDenseQueries,
    OnnxSparseQueries,
)
from hybrid.encoders.backends.screened import screened_expansion
from hybrid.encoders.dense import TransformerEncoder
from hybrid.encoders.mlm import route_modules
from hybrid.encoders.models.loading import EncoderOptions
from hybrid.encoders.models.locate import ModelFolder
from hybrid.encoders.splade import SpladeEncoder
from hybrid.errors import ModelError, require
from hybrid.machine.cache import Cache, cache_key

RECIPE = "queries in ONNX 3"
"""Named in the cache: a change of the conversion makes new entries."""
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
POSITIONS = "max_position_embeddings"
TORCH = "use the backend torch"
OPSET = 18
DISTANCE = 1e-4
"""How far a number of the probe may lie from torch's, of the largest number there."""
PROBE = (
    "how do I merge sorted lists?",
    "heapq.merge(*iterables, key=None, reverse=False)",
    "  Über naïve Größen \n und 日本語 🙂 ",
    "x",
    " ".join(f"word{number} of a text beyond what models read" for number in range(120)),
)


def converted_queries(
    folder: ModelFolder, load: Callable[[], TransformerEncoder | SpladeEncoder]
) -> Path:
    """Return the folder of a model's queries in ONNX, made where the cache has none.

    Args:
        folder: of the model.
        load: returns its encoder, with no option but the trust in its code.

    Raises:
        MissingPackageError: onnxruntime is not installed.
        ModelError: the model cannot be converted, or lies too far from torch on the probe.
        StorageError: the cache cannot be written.
    """
    require("onnxruntime", extra="onnx", purpose="the backend onnx")
    if folder.weights is None or folder.tokenizer is None:
        raise ModelError(f"{folder.spec} has no weights or tokenizer to know it by; {TORCH}")
    key = "onnx-" + cache_key(RECIPE, folder.weights, folder.tokenizer, _settings(folder.path))
    cache = Cache()
    found = cache.entry("converted", key)
    return found or cache.put("converted", key, lambda target: _write(folder, load(), target))


def _settings(path: Path) -> str:
    """Return a digest of a model folder's settings, such as pooling, and of its code."""
    digest = hashlib.sha256()
    for file in sorted([*path.rglob("*.json"), *path.rglob("*.py")]):
        if file.name != TOKENIZER:
            digest.update(f"{file.relative_to(path).as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _write(folder: ModelFolder, encoder: TransformerEncoder | SpladeEncoder, target: Path) -> None:
    """Write the ONNX model, the tokenizer and the facts, and hold them against the encoder."""
    model, spec = encoder.model, folder.spec
    modules = route_modules(model, "query")
    first = modules[0] if modules else None
    tokenizer = getattr(getattr(first, "tokenizer", None), "backend_tokenizer", None)
    prompted = all(getattr(each, "include_prompt", True) for each in model.modules())
    if not hasattr(first, "model") or tokenizer is None or not prompted:
        raise ModelError(
            f"{spec} is not a transformer with a fast tokenizer whose pooling reads the prompt, "
            f"so its queries cannot be converted; {TORCH}"
        )
    limits = [getattr(getattr(each, "config", None), POSITIONS, None) for each in model.modules()]
    facts = {
        "fingerprint": encoder.fingerprint,
        "positions": min(filter(None, limits), default=None),
        "vocabulary": list(encoder.vocabulary) if isinstance(encoder, SpladeEncoder) else [],
        "backbone": _backbone(encoder, modules),
    }
    tokenizer.save(str(target / TOKENIZER))
    (target / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    expected = encoder.encode_queries(PROBE)  # before the export changes the model
    try:
        _export(model, modules, target / WEIGHTS, with_states=facts["backbone"] is not None)
    except (ImportError, RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(
            f"{spec} cannot be converted to ONNX: {error}. Is hybrid-retrieval[onnx] installed? "
            f"Else {TORCH}"
        ) from error
    found: OnnxDenseQueries | OnnxSparseQueries
    if isinstance(encoder, SpladeEncoder):
        found = OnnxSparseQueries(folder, target, EncoderOptions(), lambda: encoder)
    else:
        found = OnnxDenseQueries(folder, target, EncoderOptions(), lambda: encoder)
    distance = _distance(found.encode_queries(PROBE), expected)
    if not distance <= DISTANCE:
        raise ModelError(
            f"{spec} in ONNX lies {distance:.1e} from torch on the probe, more than {DISTANCE:g}; "
            f"{TORCH}"
        )


def _backbone(encoder: TransformerEncoder | SpladeEncoder, modules: Sequence[Any]) -> str | None:
    """Return a digest of a model's backbone; None where its token states are of no further use.

    They are if all that follows is a head of this package, or the mean or first state.
    """
    import torch

    rest = [type(each).__name__ for each in modules[1:]]
    # The states are finished by the similarity alone, so no other length may be given to vectors.
    unit = ["Normalize"] if encoder.similarity == "cosine" else []
    pools = rest in (["Pooling"], ["Pooling", *unit])
    if rest != ["SpladeHead"] and not (pools and encoder.fingerprint["pooling"] in POOLED):
        return None
    found = hashlib.sha256(modules[0].model.config.to_json_string().encode())
    for name, weights in modules[0].model.state_dict().items():
        found.update(name.encode() + weights.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def _export(model: Any, modules: Sequence[Any], path: Path, *, with_states: bool) -> None:
    """Write the way of one query from its tokens to its vector or weights as ONNX.

    Args:
        model, modules: it, and the modules on that way.
        path: of the new file.
        with_states: give the token states, too.
    """
    import torch

    from hybrid.encoders.splade_head import SpladeHead

    features = model.preprocess([PROBE[0]], task="query")
    names = [name for name in INPUTS if name in features]
    outputs = {ENCODED: "sentence_embedding"}
    if with_states:
        outputs[STATES] = "token_embeddings"

    class Query(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *values: Any) -> Any:
            given = {**features, **dict(zip(names, values, strict=True))}
            found = self.model(given, task="query")
            return tuple(found[name] for name in outputs.values())

    for module in model.modules():
        if isinstance(module, SpladeHead):
            _screen(module)
    modules[0].model.set_attn_implementation("eager")
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Query().eval(),
            tuple(features[name] for name in names),
            str(path),
            input_names=names,
            output_names=list(outputs),
            dynamic_axes={name: {1: "tokens"} for name in names},
            opset_version=OPSET,
            dynamo=False,
        )


def _screen(head: Any) -> None:
    """Let a head make the expansion of one text in the way of ONNX, and tell the shape of it."""
    weight = (head.decoder * head.scale[:, None]).detach()
    expansion, limited = screened_expansion(weight, head.bias.detach()), head.limited
    head._expansion = lambda hidden, mask: expansion(hidden)
    head.limited = lambda weights, task: limited(weights.reshape(1, len(weight)), task)


def _distance(found: Any, expected: Any) -> float:
    """Return the largest difference of two encodings, of the largest number."""
    return float(abs(found - expected).max() / abs(expected).max())
