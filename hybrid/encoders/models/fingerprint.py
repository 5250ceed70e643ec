"""Fingerprints: everything that an encoder's numbers depend on, and whether two agree."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from hybrid.encoders.protocol import Fingerprint
from hybrid.errors import ModelMismatchError
from hybrid.machine.files import file_digest

MAY_DIFFER = frozenset({"model", "revision", "precision"})
"""Where the weights agree, these may differ: where a model came from, and how it was rounded."""

WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")
SETTINGS = (".json", ".txt", ".py")
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)


def weights_sha256(folder: Path) -> str | None:
    """Return the sha256 of a model folder's weights, None where it has none.

    One file gives its own sha256; several give that of the lines "sha256  path", sorted by path.
    Of two forms of the same weights the safetensors one counts.
    """
    return _combined(folder, weight_files(folder))


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold a model's weights: the safetensors ones where there are both."""
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in WEIGHT_SUFFIXES]
    files = [path for path in files if path.name not in ("training_args.bin", "optimizer.bin")]
    safe = {path.parent for path in files if path.suffix == ".safetensors"}
    return [path for path in files if path.suffix == ".safetensors" or path.parent not in safe]


def tokenizer_sha256(folder: Path) -> str | None:
    """Return the sha256 of a model folder's tokenizer files, None where it has none.

    ``tokenizer.json`` holds everything, so beside it the other files of its folder do not count.
    """
    files = [path for path in sorted(folder.rglob("*")) if path.name in TOKENIZER_FILES]
    whole = {path.parent for path in files if path.name == "tokenizer.json"}
    return _combined(
        folder,
        (path for path in files if path.name == "tokenizer.json" or path.parent not in whole),
    )


def settings_sha256(folder: Path) -> str | None:
    """Return the sha256 of a model folder's settings and code, None where it has none."""
    files = (path for path in sorted(folder.rglob("*")) if path.suffix in SETTINGS)
    return _combined(folder, files)


def _combined(folder: Path, files: Iterable[Path]) -> str | None:
    digests = [(path.relative_to(folder).as_posix(), file_digest(path)) for path in files]
    if not digests:
        return None
    if len(digests) == 1:
        return digests[0][1]
    lines = "".join(f"{digest}  {name}\n" for name, digest in digests)
    return hashlib.sha256(lines.encode()).hexdigest()


def differences(stored: Fingerprint, current: Fingerprint) -> list[str]:
    """Return one line for each field in which two fingerprints give different numbers.

    >>> differences({"max_length": 256}, {"max_length": 512})
    ['max_length: 256 in the index, 512 now']
    >>> differences({"model": "/a", "weights": "x"}, {"model": "/b", "weights": "x"})
    []
    """
    same_weights = stored.get("weights") is not None and stored.get("weights") == current.get(
        "weights"
    )
    ignored = MAY_DIFFER if same_weights or "weights" not in stored else frozenset()
    return [
        f"{name}: {stored.get(name)!r} in the index, {current.get(name)!r} now"
        for name in sorted(stored.keys() | current.keys())
        if name not in ignored and stored.get(name) != current.get(name)
    ]


def check_fingerprint(stored: Fingerprint, current: Fingerprint) -> None:
    """Do nothing if an encoder gives the numbers that an index was built with.

    Raises:
        ModelMismatchError: it does not; the message shows every differing field, both values.
    """
    found = differences(stored, current)
    if found:
        raise ModelMismatchError(
            f"the encoder {current.get('model')!r} does not match the one that built the index "
            f"({stored.get('model')!r}): {'; '.join(found)}. Load the encoder that the index was "
            "built with, or build the index again"
        )
