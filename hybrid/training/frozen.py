"""Training of the head, and of the last layers, over a backbone that is run once per text.

The states that enter the first trained layer are stored; a student reads them in place of texts, so
a step costs a small part of a pass through the whole model. What was trained is then put back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from torch import nn

from hybrid.encoders.splade_head import SpladeHead
from hybrid.errors import UsageError
from hybrid.training.examples import Example
from hybrid.training.prepare import StateOptions, prepare
from hybrid.training.states import CandidateHead, StateStore, StoredStates

CANDIDATES_PER_TOKEN = 2
LAYERS, WHOLE = "layers.json", "whole"
STORED = ("offsets", "ids", "before", "after", "candidates")
MOST_TERMS = np.iinfo(np.int16).max


class StoredLayers(StoredStates):
    """Stored states through trained layers; a checkpoint of it can be read back.

    Args:
        config: of the layers, a BertConfig's values.
    """

    def __init__(
        self,
        stores: Sequence[StateStore],
        layers: nn.ModuleList,
        tokenizer: Any,
        config: dict[str, Any],
    ) -> None:
        super().__init__(stores, layers, tokenizer)
        self.config = config

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Write the trained layers and their configuration."""
        super().save(output_path)
        described = {"count": len(self.layers), "config": self.config}
        (Path(output_path) / LAYERS).write_text(json.dumps(described), encoding="utf-8")

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **_: Any) -> StoredLayers:
        """Return the layers that :meth:`save` wrote, without any stored states."""
        from transformers import BertConfig
        from transformers.models.bert.modeling_bert import BertLayer

        folder = Path(model_name_or_path) / subfolder
        described = json.loads((folder / LAYERS).read_text(encoding="utf-8"))
        config = BertConfig.from_dict(described["config"])
        config._attn_implementation = "eager"
        layers = nn.ModuleList(BertLayer(config) for _ in range(described["count"]))
        made = cls([], layers, None, described["config"])
        if described["count"]:
            cls.load_torch_weights(model_name_or_path, subfolder=subfolder, model=made)
        return made


class Student:
    """A model whose lower layers are not trained, and the encoder that learns in its place.

    Attributes:
        model: learns; it takes the texts of the examples, and no others.
    """

    def __init__(
        self, whole: Any, layers: int, examples: Sequence[Example], folder: Path, max_length: int
    ) -> None:
        from sentence_transformers import SparseEncoder

        self._whole = whole
        self._bert, self._head = whole[0].model, whole[1]
        for module in self._bert.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        self._bert.set_attn_implementation("eager")
        queries = dict.fromkeys(row.query for row in examples)
        passages = dict.fromkeys(p for row in examples for p in (row.positive, *row.negatives))
        stores = [
            self._store(list(texts), folder / name, max_length, layers)
            for name, texts in (("queries", queries), ("passages", passages))
        ]
        trained = nn.ModuleList(list(self._bert.encoder.layer)[-layers:] if layers else [])
        head = CandidateHead(**self._head.get_config_dict())
        head.load_state_dict(self._head.state_dict())
        states = StoredLayers(stores, trained, whole.tokenizer, self._bert.config.to_dict())
        self.model = SparseEncoder(modules=[states, head], device=str(whole.device))

    def finished(self) -> Any:
        """Return the whole model with the trained layers and head."""
        self._head.load_state_dict(self.model[1].state_dict())
        return self._whole.eval()

    def _store(self, texts: Sequence[str], folder: Path, length: int, layers: int) -> StateStore:
        """Return the stored states of ``texts``, from an earlier run where it left the same."""
        candidates = min(self._head.vocabulary_size, CANDIDATES_PER_TOKEN * length)
        digest = xxhash.xxh3_128()
        for parameter in self._bert.state_dict().values():
            digest.update(parameter.cpu().numpy().tobytes())
        digest.update(json.dumps([list(texts), length, candidates]).encode())
        kept = folder / digest.hexdigest()
        if not (kept / WHOLE).is_file():
            tokenizer = self._whole.tokenizer
            options = StateOptions(length, candidates, before=True)
            found = prepare(texts, self._bert, tokenizer, kept, options)
            np.save(kept / "ids.npy", found.ids)
            np.save(kept / "offsets.npy", found.offsets)
            (kept / WHOLE).write_text("", encoding="utf-8")
        read = {name: np.load(kept / f"{name}.npy", mmap_mode="r") for name in STORED}
        states = read["before"] if layers else read["after"]
        rows = {text: row for row, text in enumerate(texts)}
        return StateStore(rows, read["offsets"], read["ids"], states, read["candidates"])


def can_store(model: Any, layers: int) -> bool:
    """Return whether the states of ``model`` can stand in for its lower layers."""
    from transformers import BertModel

    return (
        len(model) == 2
        and isinstance(model[1], SpladeHead)
        and isinstance(getattr(model[0], "model", None), BertModel)
        and model[1].vocabulary_size <= MOST_TERMS
        and layers <= 1
    )


def freeze(model: Any, layers: int) -> None:
    """Keep the gradient from everything below the last ``layers`` layers of every backbone.

    Raises:
        UsageError: a backbone whose layers cannot be told apart, or that has fewer.
    """
    from sentence_transformers.sparse_encoder.modules import Transformer

    for module in model.modules():
        if not isinstance(module, Transformer):
            continue
        base = module.model.base_model
        stack = next(
            (m for m in base.modules() if isinstance(m, nn.ModuleList) and len(m) > 1), None
        )
        if stack is None or len(stack) < layers:
            raise UsageError(
                f"layers is {layers}, but {type(base).__name__} has "
                f"{'no list of layers' if stack is None else len(stack)}; give fewer, or leave it "
                "out to train the whole model"
            )
        for parameter in base.parameters():
            parameter.requires_grad_(False)
        for layer in list(stack)[len(stack) - layers :]:
            for parameter in layer.parameters():
                parameter.requires_grad_(True)
