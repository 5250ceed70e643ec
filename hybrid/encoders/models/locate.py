"""The folder of a model: a path as given, or the local snapshot of a hub id."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hybrid.encoders.models.fingerprint import tokenizer_sha256, weight_files, weights_sha256
from hybrid.errors import ModelError

OTHER_FORMATS = [
    "*.onnx",
    "*.onnx_data",
    "*.xml",
    "*.h5",
    "*.msgpack",
    "*.ot",
    "*.tflite",
    "*.gguf",
]
PICKLED_WEIGHTS = ["*.bin", "*.pt", "*.pth", "*.ckpt"]


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model on disk, its name and its checksums.

    Attributes:
        spec: what the user asked for.
        path: the folder that sentence-transformers loads.
        revision: the commit of a hub model, None for a folder.
        weights, tokenizer: sha256 of the files, see :mod:`hybrid.encoders.models.fingerprint`.
    """

    spec: str
    path: Path
    revision: str | None
    weights: str | None
    tokenizer: str | None


def locate(spec: str, revision: str | None = None) -> ModelFolder:
    """Return the folder of ``spec``; a hub model is downloaded unless it is in the hub cache.

    A revision that is cached is used as it is; without ``revision`` that is the cached ``main``.

    Raises:
        ModelError: no such folder, no such hub model, or no network and nothing cached.
    """
    path = Path(spec).expanduser()
    if os.path.isdir(path):  # unlike Path.is_dir, no error for a name that is too long
        _refuse_revision(spec, revision)
        return _described(spec, path, None)
    if spec.startswith((".", "/", "~")) or spec.count("/") > 1 or os.path.exists(path):
        raise ModelError(
            f"model {spec!r} is not a folder; expected a folder that sentence-transformers saved, "
            "a hub id such as naver/splade-v3, or a built-in model such as builtin:minilm"
        )
    folder = _snapshot(spec, revision)
    return _described(spec, folder, folder.name)


def _refuse_revision(spec: str, revision: str | None) -> None:
    if revision is not None:
        raise ModelError(
            f"model {spec!r} is a folder, which has no revisions, but revision {revision!r} was "
            "given; leave the revision out, or give a hub id"
        )


def _described(spec: str, path: Path, revision: str | None) -> ModelFolder:
    if not any((path / name).is_file() for name in ("modules.json", "config.json")):
        raise ModelError(
            f"model {spec!r}: {path} holds neither modules.json nor config.json, so it is no "
            "model folder; give the folder that sentence-transformers or transformers saved"
        )
    weights = weight_files(path)
    pickled = [file.name for file in weights if file.suffix != ".safetensors"]
    if pickled or (revision is not None and not weights):
        why = f", only {pickled[0]}, a pickle, which can run code when read" if pickled else ""
        raise ModelError(
            f"model {spec!r} has no safetensors weights{why}. Ask for a revision that has them, or "
            "where you trust the model convert it: load it with transformers and save it with "
            "save_pretrained"
        )
    return ModelFolder(spec, path, revision, weights_sha256(path), tokenizer_sha256(path))


def _snapshot(spec: str, revision: str | None) -> Path:
    """Return the snapshot folder of a hub model, from the cache where it is there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        try:
            cached = Path(snapshot_download(spec, revision=revision, local_files_only=True))
            if weights_sha256(cached) is not None:
                return cached
        except LocalEntryNotFoundError:
            pass
        ignored = OTHER_FORMATS + PICKLED_WEIGHTS
        folder = Path(snapshot_download(spec, revision=revision, ignore_patterns=ignored))
        return folder
    except HFValidationError as error:
        raise ModelError(
            f"model {spec!r} is neither a folder nor a hub id (owner/name): {error}"
        ) from error
    except OSError as error:
        at = f" at revision {revision!r}" if revision else ""
        raise ModelError(
            f"model {spec!r}{at} is not in the local hub cache and cannot be downloaded: "
            f"{_first_line(error)}. Check the name, the network and access rights (HF_TOKEN); or "
            "give a local folder, or a built-in model, which needs no hub: `hybrid models list` "
            "names them"
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
