"""``hybrid cache``, and ``--cache`` and ``--no-cache`` of the commands that encode."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hybrid.encoders import load_dense
from hybrid.machine.cache import Cache
from hybrid.search.index import open_index
from tests.conftest import DOCUMENTS
from tests.test_cli import Command, hybrid_command

__all__ = ["hybrid_command"]


def test_builds_fill_the_cache_that_is_listed_and_cleared(
    hybrid_command: Command, tiny_dense: Path, beir_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    build = ("build", beir_folder, "--sparse", "none", "--dense", tiny_dense, "-o")
    status, out, err = hybrid_command(*build, tmp_path / "a", "--no-cache", "--cache", folder)
    assert status == 1
    assert "opposites" in err
    status, out, err = hybrid_command(*build, tmp_path / "a", "--cache", folder)
    assert (status, "from the cache" in out) == (0, False), err
    status, out, _ = hybrid_command(*build, tmp_path / "b", "--cache", folder)
    assert f"from the cache: {len(DOCUMENTS)} rows, not encoded again" in out
    status, out, _ = hybrid_command(*build, tmp_path / "c", "--no-cache")
    assert (status, "from the cache" in out) == (0, False)

    status, out, _ = hybrid_command("cache", "list", "--cache", folder)
    assert status == 0
    first, header, row, *others = out.splitlines()
    assert str(folder) in first
    assert header.split()[:3] == ["kind", "entries", "MB"]
    assert row.split()[:2] == ["encodings", str(len(DOCUMENTS))]
    assert [each.split()[:2] for each in others] == [["figures", "1"], ["fingerprints", "1"]]
    _, out, _ = hybrid_command("cache", "list", "--cache", folder, "--json")
    held, *_ = json.loads(out)["kinds"]
    assert held["bytes"] == len(DOCUMENTS) * 16 * 4
    status, _, err = hybrid_command("cache", "clear", "pools", "--cache", folder)
    assert status == 1
    assert "has no 'pools'; it holds encodings, figures, fingerprints" in err
    status, out, _ = hybrid_command("cache", "clear", "encodings", "--cache", folder)
    assert (status, "0.0 MB removed" in out) == (0, True)
    (folder / "builds" / "1").mkdir(parents=True)
    hybrid_command("cache", "clear", "--cache", folder)
    _, out, _ = hybrid_command("cache", "list", "--cache", folder)
    assert [row.split()[0] for row in out.splitlines()[2:]] == ["builds"]  # one may be running
    hybrid_command("cache", "clear", "builds", "--cache", folder)
    status, out, _ = hybrid_command("cache", "list", "--cache", folder)
    assert out.splitlines()[1] == "empty"


def test_additions_and_rebuilds_take_the_cache_too(
    hybrid_command: Command, tiny_copy: Path, beir_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    for command in (("add", tiny_copy, beir_folder, "--update"), ("rebuild", tiny_copy)):
        branch = ("--branch", "dense") if command[0] == "rebuild" else ()
        status, _, err = hybrid_command(*command, *branch, "--no-cache")
        assert (status, folder.exists()) == (0, False), err
        status, _, err = hybrid_command(*command, *branch, "--cache", folder)
        assert status == 0, err
        assert Cache(folder).holdings()[0].kind == "encodings"
        Cache(folder).clear()
        for path in sorted(folder.iterdir()):
            path.unlink()
        folder.rmdir()


def test_an_interrupted_build_says_what_is_kept(
    hybrid_command: Command,
    tiny_dense: Path,
    beir_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hybrid.encoders.dense.TransformerEncoder.encode_documents", interrupt)
    command = ("build", beir_folder, "--sparse", "none", "--dense", tiny_dense, "--no-cache")
    status, _, err = hybrid_command(*command, "-o", tmp_path / "index")
    assert status == 130
    assert "all but the last 1,024 at most are kept" in err


def test_additions_and_rebuilds_say_where_and_in_which_batches_models_run(
    hybrid_command: Command, beir_folder: Path, tiny_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[dict[str, object]] = []

    def loaded(spec: str, **options: object) -> object:
        taken.append({name: options.get(name) for name in ("device", "batch_size")})
        return load_dense(spec, **options)

    monkeypatch.setattr("hybrid.encoders.load_dense", loaded)
    running = ("--device", "cpu", "--batch-size", "2", "--no-cache")
    for command in (("add", beir_folder, "--update"), ("rebuild", "--branch", "dense")):
        status, _, err = hybrid_command(command[0], tiny_copy, *command[1:], *running)
        assert status == 0, err
        status, _, err = hybrid_command(command[0], tiny_copy, *command[1:], "--batch-size", "0")
        assert status == 1
        assert "batch_size is 0; expected 1 or more" in err
    assert taken == [{"device": "cpu", "batch_size": 2}] * 2
    with open_index(tiny_copy) as index:
        assert not {"device", "batch_size"} & index.contents.record("dense").encoder.keys()
