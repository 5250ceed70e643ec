"""A SPLADE head for any dense encoder: a sentence-transformers module over its token states.

The weight of term v in a text is log(1 + ReLU(l_v)), with l_v the greater of

    max over tokens i of   s_v * (z_i . e_v) + b_v                          (expansion)
    max over tokens i = v of  that  +  ReLU(a_v + c . z_i + g * log tf_v)   (literal)

where z_i is the token's state after one dense layer and a layer norm, e_v the (fixed) input
embedding of v. The first line is SPLADE (Formal et al. 2021) with a tied decoder; the second gives
the words that stand in the text a weight of their own, as DeepImpact (Mallia et al. 2021) does, so
that rare words keep the importance that a dense model's states do not carry.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from sentence_transformers.base.modules import Module
from torch import Tensor, nn

from hybrid.encoders.pooling import LargestLogits

CHUNK = 64
"""Tokens whose logits exist at one time in training."""
NEVER = -1e4


class SpladeHead(Module):  # type: ignore[misc]
    """Term weights from token states; text without tokens has none.

    Args:
        hidden_size: of the token states.
        vocabulary_size: of the tokenizer.
        document_terms, query_terms: the most terms that an encoded text keeps, None for all; they
            do not apply in training.
    """

    config_keys = ("hidden_size", "vocabulary_size", "document_terms", "query_terms")
    forward_kwargs = frozenset({"task"})
    pooling_strategy = "max"
    activation_function = "relu"

    def __init__(
        self,
        hidden_size: int,
        vocabulary_size: int,
        document_terms: int | None = None,
        query_terms: int | None = None,
    ) -> None:
        super().__init__()
        self.hidden_size, self.vocabulary_size = hidden_size, vocabulary_size
        self.document_terms, self.query_terms = document_terms, query_terms
        self.transform = nn.Linear(hidden_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)
        self.scale = nn.Parameter(torch.ones(vocabulary_size))
        self.bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.literal = nn.Parameter(torch.zeros(vocabulary_size))
        self.context = nn.Parameter(torch.zeros(hidden_size))
        self.repeat = nn.Parameter(torch.zeros(()))
        self.register_buffer("decoder", torch.zeros(vocabulary_size, hidden_size))
        nn.init.eye_(self.transform.weight)
        nn.init.zeros_(self.transform.bias)
        self._pooling: tuple[Any, LargestLogits] | None = None

    def forward(self, features: dict[str, Any], task: str | None = None) -> dict[str, Any]:
        """Return ``features`` with ``sentence_embedding``, float32 (texts, vocabulary)."""
        states, ids, mask = (
            features[name] for name in ("token_embeddings", "input_ids", "attention_mask")
        )
        hidden = self.norm(self.transform(states))
        pooled = self._expansion(hidden, mask)
        literal = self._literal(hidden, ids, mask)
        weights = torch.log1p(pooled.scatter_reduce(1, ids, literal, "amax"))
        features["sentence_embedding"] = self.limited(weights, task)
        return features

    def limited(self, weights: Tensor, task: str | None) -> Tensor:
        """Return ``weights`` with no more terms a text than are kept; in training, all of them."""
        if self.training:
            return weights
        return _strongest(weights, self.query_terms if task == "query" else self.document_terms)

    def get_embedding_dimension(self) -> int:
        """Return the size of the vocabulary."""
        return self.vocabulary_size

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Write the configuration and the weights into ``output_path``."""
        self.save_config(output_path)
        self.save_torch_weights(output_path)

    @classmethod
    def load(cls, model_name_or_path: str, **kwargs: Any) -> SpladeHead:
        """Return the head that :meth:`save` wrote."""
        where = {
            name: kwargs[name]
            for name in ("subfolder", "token", "cache_folder", "revision", "local_files_only")
            if name in kwargs
        }
        head = cls(**cls.load_config(model_name_or_path, **where))
        cls.load_torch_weights(model_name_or_path, model=head, **where)
        return head

    def get_config_dict(self) -> dict[str, Any]:
        """Return the configuration that :meth:`save` writes beside the weights."""
        return {name: getattr(self, name) for name in self.config_keys}

    def _expansion(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Return ReLU(max over tokens of the logit), (texts, vocabulary).

        The maxima are found without a gradient; only the active ones are computed again with it.
        Inactive logits have no gradient under ReLU, so this is exact, and neither memory nor the
        backward pass grows with tokens x vocabulary.
        """
        if not torch.is_grad_enabled():
            return cast(Tensor, self._largest()(hidden, mask.bool()))
        with torch.no_grad():
            weight = (self.decoder * self.scale[:, None]).T.contiguous()
            found = [
                _maxima(states, kept.bool(), weight)
                for states, kept in zip(hidden.detach(), mask, strict=True)
            ]
            top = torch.stack([values for values, _ in found]) + self.bias
            rows, terms = (top > 0).nonzero(as_tuple=True)
            at = torch.stack([tokens for _, tokens in found])[rows, terms]
        logits = (hidden[rows, at] * self.decoder[terms]).sum(-1) * self.scale[terms]
        active = torch.relu(logits + self.bias[terms])
        return torch.zeros_like(top).index_put((rows, terms), active)

    def _largest(self) -> LargestLogits:
        """Return the pooling of the scaled decoder, made once while the weights stay the same."""
        key = (self.scale._version, self.bias._version, self.decoder._version, self.scale.device)
        if self._pooling is None or self._pooling[0] != key:
            weight = self.decoder * self.scale[:, None]
            self._pooling = (key, LargestLogits(weight, self.bias.detach()))
        return self._pooling[1]

    def _literal(self, hidden: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Return ReLU of the literal logit of every token, 0 at padding, (texts, tokens)."""
        logits = (hidden * self.decoder[ids]).sum(-1) * self.scale[ids] + self.bias[ids]
        same = (ids[:, :, None] == ids[:, None, :]) & mask[:, None, :].bool()
        repeats = same.sum(-1).clamp(min=1).to(hidden.dtype).log()
        gain = torch.relu(self.literal[ids] + hidden @ self.context + self.repeat * repeats)
        return torch.relu(logits + gain) * mask


def _maxima(states: Tensor, mask: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return per term the greatest logit over (tokens, hidden) states, and its token."""
    places = mask.nonzero()[:, 0]
    size = weight.shape[1]
    values = states.new_full((size,), NEVER)
    tokens = torch.zeros(size, dtype=torch.long, device=states.device)
    for start in range(0, len(places), CHUNK):
        part = places[start : start + CHUNK]
        found, at = (states[part] @ weight).max(dim=0)
        better = found > values
        values = torch.where(better, found, values)
        tokens = torch.where(better, part[at], tokens)
    return values, tokens


def _strongest(weights: Tensor, count: int | None) -> Tensor:
    """Return ``weights`` with all but the ``count`` greatest of every row set to 0."""
    if count is None or count >= weights.shape[1]:
        return weights
    values, terms = weights.topk(count, dim=1)
    return torch.zeros_like(weights).scatter_(1, terms, values)
