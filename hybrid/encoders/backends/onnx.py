"""Encoders that run an ONNX model on the processor, without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from hybrid.encoders.batching import CHUNK, TokenLimit, uncut
from hybrid.encoders.models.known import KnownModel
from hybrid.encoders.models.loading import EncoderOptions
from hybrid.encoders.models.locate import ModelFolder
from hybrid.encoders.protocol import Fingerprint, Progress
from hybrid.errors import ModelError, UsageError, require
from hybrid.machine.threads import each

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHTS, TOKENIZER = "model.onnx", "tokenizer.json"
Taken = TypeVar("Taken")


class OnnxModel:
    """A BERT in ONNX: texts, or pairs of texts, to its first output.

    Each text is run alone, on one thread; several at a time. An int8 model scales its activations
    by all that is in a batch, so that beside others a text would have another output.

    Args:
        folder: with ``model.onnx`` and ``tokenizer.json``.
        options: ``max_length`` alone counts; the model has its own dtype and device.
        longest: the most tokens that the model reads.

    Raises:
        ModelError: the files cannot be read.
        MissingPackageError: onnxruntime is not installed.
        UsageError: an option that the model cannot take.
    """

    def __init__(self, folder: ModelFolder, options: EncoderOptions, longest: int) -> None:
        runtime: Any = require("onnxruntime", extra="models", purpose=folder.spec)
        tokenizers: Any = require("tokenizers", extra="models", purpose=folder.spec)
        for name in ("dtype", "token_budget", "trust_remote_code"):
            if getattr(options, name) != EncoderOptions.__dataclass_fields__[name].default:
                raise UsageError(f"{folder.spec} runs as it is and takes no {name}; leave it out")
        self._spec = folder.spec
        self.max_length = options.max_length or longest
        if self.max_length > longest:
            raise UsageError(
                f"max_length is {self.max_length}, but model {folder.spec!r} has {longest} "
                f"positions; give at most {longest}"
            )
        settings = runtime.SessionOptions()
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        settings.log_severity_level = 3  # errors: its warnings are of shapes that it cannot infer
        try:
            self._session = runtime.InferenceSession(
                str(folder.path / WEIGHTS), settings, providers=["CPUExecutionProvider"]
            )
            self._tokenizer = tokenizers.Tokenizer.from_file(str(folder.path / TOKENIZER))
        except Exception as error:
            raise ModelError(f"{folder.spec} in {folder.path} cannot be loaded: {error}") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_length)
        self._inputs = [each.name for each in self._session.get_inputs()]
        self._first = self._session.get_outputs()[0].name

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of a text that the model reads, none of its own among them."""
        found = self.uncut.encode(text, add_special_tokens=False).tokens
        return list(found[: self.max_length - self.uncut.num_special_tokens_to_add(False)])

    @cached_property
    def uncut(self) -> Any:
        """A tokenizer that cuts nothing off."""
        return uncut(self._tokenizer)

    def limit(self, prompt: str) -> TokenLimit:
        """Return the most tokens of a text behind ``prompt`` that the model reads."""
        return TokenLimit(self._tokenizer, self.max_length, prompt=prompt)

    def outputs(
        self,
        texts: Sequence[str] | Sequence[tuple[str, str]],
        take: Callable[..., Taken],
        progress: Progress | None = None,
        *,
        names: Sequence[str] = (),
    ) -> list[Taken]:
        """Return ``take(output)`` of each text, whose output is (tokens, width) or (1,).

        With ``names`` it is given these outputs of the model, in their order.

        Raises:
            ModelError: the model fails on a text.
        """
        taken: dict[int, Taken] = {}
        for start in range(0, len(texts), CHUNK):
            coded = self._tokenizer.encode_batch(list(texts[start : start + CHUNK]))

            def run(row: int, start: int = start, coded: Any = coded) -> None:
                given = {
                    "input_ids": coded[row].ids,
                    "attention_mask": coded[row].attention_mask,
                    "token_type_ids": coded[row].type_ids,
                }
                feed = {name: np.array([given[name]], dtype=np.int64) for name in self._inputs}
                try:
                    found = self._session.run(list(names) or [self._first], feed)
                except Exception as error:  # those of onnxruntime have no narrower base
                    raise ModelError(
                        f"{self._spec} fails in ONNX on a text of {len(coded[row].ids)} tokens: "
                        f"{error}. Use the backend torch, or another model"
                    ) from error
                taken[start + row] = take(*(each[0] for each in found))
                if progress is not None:
                    progress(1)

            each(run, len(coded), threads=0)
        return [taken[row] for row in range(len(texts))]


class OnnxEncoder:
    """A dense ONNX model as a :class:`~hybrid.encoders.protocol.DenseEncoder`.

    The vector of a text is the state of its first token at unit length.

    Args:
        folder, options: see :class:`OnnxModel`; the prompts of ``options`` count too.
        known: the model that the folder holds a copy of.
    """

    def __init__(self, folder: ModelFolder, options: EncoderOptions, known: KnownModel) -> None:
        self._model, self._folder = OnnxModel(folder, options, known.max_length), folder
        self.dimension = known.width
        self._pooling = known.pooling
        query, document = options.query_prompt, options.document_prompt
        self._query_prompt = known.query_prompt if query is None else query
        self._document_prompt = known.document_prompt if document is None else document
        self._limits = {
            "query": self._model.limit(self._query_prompt),
            "document": self._model.limit(self._document_prompt),
        }

    @property
    def fingerprint(self) -> Fingerprint:
        """Return everything that the vectors depend on."""
        return {
            "kind": "dense",
            "model": self._folder.spec,
            "revision": None,
            "weights": self._folder.weights,
            "tokenizer": self._folder.tokenizer,
            "max_length": self._model.max_length,
            "query_prompt": self._query_prompt,
            "document_prompt": self._document_prompt,
            "pooling": self._pooling,
            "similarity": "cosine",
            "normalized": True,
            "dimension": self.dimension,
            "precision": "int8",
        }

    def encode_documents(
        self, texts: Sequence[str], progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Return the vectors of documents, float32 (len(texts), dimension)."""
        return self._encode([self._document_prompt + text for text in texts], progress)

    def encode_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of queries, float32 (len(texts), dimension)."""
        return self._encode([self._query_prompt + text for text in texts], None)

    def unread_tokens(
        self, texts: Sequence[str], task: Literal["document", "query"]
    ) -> NDArray[np.int64]:
        """Return the tokens of each text that the model does not read, int64 (len(texts),)."""
        return self._limits[task].unread(texts)

    def _encode(self, texts: Sequence[str], progress: Progress | None) -> NDArray[np.float32]:
        rows = self._model.outputs(texts, lambda states: states[0].copy(), progress)
        vectors = np.zeros((len(rows), self.dimension), dtype=np.float32)
        for place, row in enumerate(rows):
            vectors[place] = row / np.linalg.norm(row)
        return vectors
