"""Repositories of the Hugging Face hub: made, and filled by one commit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hybrid.errors import TransferError, UsageError, require


def make_repository(name: str, kind: str = "model") -> None:
    """Make a private repository, where it is not there; so a wrong token is told at once.

    Args:
        name: of owner and repository, ``owner/name``.
        kind: ``model`` or ``dataset``.

    Raises:
        UsageError: ``name`` is no ``owner/name``.
        TransferError: the hub refuses.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise UsageError(f"{name!r} is no repository of the hub; give owner/name")
    _asked(name, "create_repo", repo_type=kind, private=True, exist_ok=True)


def push_model(folder: Path, name: str) -> None:
    """Put the files of a model folder into a repository by one commit.

    Raises:
        TransferError: the hub refuses; the folder is as it was.
    """
    options = {"folder_path": str(folder), "commit_message": "Add a model"}
    _asked(name, "upload_folder", repo_type="model", **options)


def required_hub() -> Any:
    """Return the package of the hub."""
    return require("huggingface_hub", extra="hub", purpose="copying to or from a hub")


def _asked(name: str, method: str, **options: Any) -> None:
    hub = required_hub()
    try:
        getattr(hub.HfApi(), method)(repo_id=name, **options)
    except OSError as error:
        raise TransferError(
            f"the hub refuses {name}: {error}; check the name and HF_TOKEN"
        ) from error
