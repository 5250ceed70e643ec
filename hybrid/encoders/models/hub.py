"""Models in a repository of the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hybrid.errors import TransferError, UsageError, require


def make_repository(name: str) -> None:
    """Make a private model repository, where it is not there; so a wrong token is told at once.

    Raises:
        UsageError: ``name`` is no ``owner/name``.
        TransferError: the hub refuses.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise UsageError(f"{name!r} is no repository of the hub; give owner/name")
    _asked(name, "create_repo", private=True, exist_ok=True)


def push_model(folder: Path, name: str) -> None:
    """Put the files of a model folder into a repository by one commit.

    Raises:
        TransferError: the hub refuses; the folder is as it was.
    """
    _asked(name, "upload_folder", folder_path=str(folder), commit_message="Add a model")


def _asked(name: str, method: str, **options: Any) -> None:
    hub = require("huggingface_hub", extra="hub", purpose="putting a model on a hub")
    try:
        getattr(hub.HfApi(), method)(repo_id=name, repo_type="model", **options)
    except OSError as error:
        raise TransferError(
            f"the hub refuses {name}: {error}; check the name and HF_TOKEN"
        ) from error
