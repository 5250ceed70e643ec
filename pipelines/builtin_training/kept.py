"""Token states of a backbone kept on disk, so that every new head over it is measured cheaply."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hybrid.errors import UsageError

KEY = np.dtype([("digest", "S32"), ("tokens", "<i8")])


class KeptStates:
    """A folder of token states, float32, by the tokens of the text.

    A text's states are those of the first batch that it was in; another batch would give the same
    ones but for rounding.

    Args:
        folder: made where it is missing. What a cut-off run left half written is dropped.
        backbone: what the states depend on besides the tokens; another one is refused.
        width: of a state.

    Raises:
        UsageError: the folder is of another backbone.
    """

    def __init__(self, folder: Path, backbone: str, width: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._keys, self._states, self._width = folder / "keys.bin", folder / "states.bin", width
        named = folder / "backbone.txt"
        if not named.exists():
            named.write_text(backbone, encoding="utf-8")
        if named.read_text(encoding="utf-8") != backbone:
            raise UsageError(
                f"{folder} keeps the states of {named.read_text(encoding='utf-8')!r}, not of "
                f"{backbone!r}; give another folder"
            )
        for path in (self._keys, self._states):
            path.touch()
        self._places: dict[bytes, tuple[int, int]] = {}
        known = self._keys.stat().st_size // KEY.itemsize
        self._end = 0
        for row in np.fromfile(self._keys, dtype=KEY, count=known):
            self._places[row["digest"]] = (self._end, int(row["tokens"]))
            self._end += int(row["tokens"])
        with self._keys.open("r+b") as keys, self._states.open("r+b") as states:
            keys.truncate(known * KEY.itemsize)
            states.truncate(self._end * width * 4)

    def __len__(self) -> int:
        return len(self._places)

    def wrap(self, module: Any) -> None:
        """Have a sentence-transformers Transformer look its states up here, and keep new ones."""
        import torch

        compute = module.forward

        def forward(features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
            mask = features["attention_mask"].bool()
            rows = [ids[kept] for ids, kept in zip(features["input_ids"], mask, strict=True)]
            digests = [_digest(row.cpu().numpy()) for row in rows]
            if not all(digest in self._places for digest in digests):
                features = compute(features, **kwargs)
                found = zip(features["token_embeddings"].float(), mask, strict=True)
                self._keep(digests, [states[kept].cpu().numpy() for states, kept in found])
                return features
            states = np.zeros((*mask.shape, self._width), dtype=np.float32)
            kept = mask.cpu().numpy()
            for place, digest in enumerate(digests):
                states[place, kept[place]] = self._read(digest)
            features["token_embeddings"] = torch.from_numpy(states).to(mask.device)
            return features

        module.forward = forward

    def _read(self, digest: bytes) -> NDArray[np.float32]:
        start, tokens = self._places[digest]
        count, size = tokens * self._width, self._width * 4
        found = np.fromfile(self._states, np.float32, count, offset=start * size)
        return found.reshape(tokens, self._width)

    def _keep(self, digests: list[bytes], states: list[NDArray[np.float32]]) -> None:
        """Append new states, then their keys, so that a key never stands without its states."""
        added = np.zeros(0, dtype=KEY)
        with self._states.open("ab") as file:
            for digest, found in zip(digests, states, strict=True):
                if digest in self._places:
                    continue
                file.write(np.ascontiguousarray(found, dtype=np.float32).tobytes())
                self._places[digest] = (self._end, len(found))
                self._end += len(found)
                added = np.append(added, np.array([(digest, len(found))], dtype=KEY))
        with self._keys.open("ab") as file:
            file.write(added.tobytes())


def _digest(ids: NDArray[Any]) -> bytes:
    """Return a key of the tokens, without the zero bytes that NumPy strips from the end."""
    return hashlib.sha256(ids.astype("<i8").tobytes()).hexdigest()[:32].encode()
