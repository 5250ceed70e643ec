"""The index that pages begin with, built once."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The index that most pages begin with; what it encodes is cached for those that build it."""
    from hybrid.build.create import build_index
    from hybrid.corpus import open_source

    folder = tmp_path_factory.mktemp("small") / "small.idx"
    build_index(open_source("stdlib-small"), folder)
    return folder
