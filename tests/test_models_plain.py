"""Models that load elsewhere: in plain sentence-transformers, with this package blocked."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest

from hybrid.encoders import export_model, load_sparse
from hybrid.errors import ModelError, TransferError, UsageError
from hybrid.machine.hub import make_repository
from hybrid.training import train
from tests.test_cli import Command, hybrid_command
from tests.test_encoders_shared import tiny_head
from tests.test_training import made_examples, made_options

__all__ = ["hybrid_command", "tiny_head"]

TEXTS = ["merge sorted lists with a heap", "read json", "a socket in a thread"]
ELSEWHERE = """
import json, sys
sys.modules["hybrid"] = None
from sentence_transformers import SparseEncoder
model = SparseEncoder(sys.argv[1], device="cpu")
texts = json.loads(sys.argv[2])
found = [model.encode_query(texts), model.encode_document(texts)]
print(json.dumps([rows.to_dense().tolist() for rows in found]))
"""


def elsewhere(folder: Path) -> list[Any]:
    """Return the query and document weights that a process without this package computes."""
    command = [sys.executable, "-c", ELSEWHERE, str(folder), json.dumps(TEXTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return [np.array(rows) for rows in json.loads(done.stdout.splitlines()[-1])]


@pytest.mark.parametrize("recipe", ["splade-max", "efficient", "doc-only"])
def test_a_trained_model_loads_without_this_package(
    recipe: str, tiny_bert: Path, tmp_path: Path
) -> None:
    light = str(tiny_bert) if recipe == "efficient" else None
    options = made_options(tiny_bert, recipe=recipe, query_model=light, held_out=2)
    folder = train(made_examples(), tmp_path / "run", options).model
    queries, documents = elsewhere(folder)
    ours = load_sparse(str(folder), device="cpu")
    np.testing.assert_allclose(queries, ours.encode_queries(TEXTS).toarray(), atol=1e-5)
    np.testing.assert_allclose(documents, ours.encode_documents(TEXTS).toarray(), atol=1e-5)
    assert documents.any()
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: sentence-transformers\n")
    assert "sentence-transformers loads it by itself" in card
    assert f"**Recipe**: {recipe}" in card
    assert "dev nDCG@10" in card
    assert str(tmp_path) not in card + str(tiny_bert.parent)
    export_model(str(folder), tmp_path / "exported")
    np.testing.assert_array_equal(elsewhere(tmp_path / "exported")[1], documents)
    with pytest.raises(ModelError, match="a plain SPLADE already"):
        export_model(str(folder), tmp_path / "again", plain=True)
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("doc_only", [False, True])
def test_a_head_of_ours_has_a_plain_form(doc_only: bool, tiny_head: Path, tmp_path: Path) -> None:
    recipe = "doc-only" if doc_only else "splade-max"
    folder = train(made_examples(), tmp_path / "run", made_options(tiny_head, recipe=recipe)).model
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "hybrid models export FOLDER PLAIN --plain" in card
    export_model(str(folder), tmp_path / "plain", plain=True)
    queries, documents = elsewhere(tmp_path / "plain")
    ours = load_sparse(str(folder), device="cpu")
    head = next(each for each in ours.model.modules() if type(each).__name__ == "SpladeHead")
    head.literal.data.fill_(-1e9)  # what words gain by standing in the text
    head.document_terms = head.query_terms = None
    for found, own in (
        (queries, ours.model.encode_query(TEXTS)),
        (documents, ours.model.encode_document(TEXTS)),
    ):
        np.testing.assert_allclose(found, own.to_dense().numpy(), atol=1e-4)
    assert documents.any()
    told = (tmp_path / "plain" / "README.md").read_text(encoding="utf-8")
    assert "standing in the text is left out" in told
    assert str(tmp_path) not in told


class FakeHub:
    """Keeps what is sent; refuses a repository of somebody else."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, dict[str, Any]]] = []

    def create_repo(self, repo_id: str, **options: Any) -> None:
        if repo_id.startswith("other/"):
            raise OSError("403")
        self.sent.append(("create", repo_id, options))

    def upload_folder(self, repo_id: str, *, folder_path: str, **options: Any) -> None:
        files = sorted(path.name for path in Path(folder_path).iterdir())
        self.sent.append(("upload", repo_id, {**options, "files": files}))


def test_a_trained_model_is_pushed_by_one_commit(
    hybrid_command: Command, tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = FakeHub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text("parse json\tread and parse json in a file\nmerge\tmerge sorted lists\n")
    options = ("--from", tiny_bert, "--steps", "1", "--batch-size", "2", "--max-length", "16")
    train = ("train", pairs, "-o", tmp_path / "out", *options, "--push-to-hub")
    status, _, err = hybrid_command(*train, "other/model")
    assert status == 1
    assert "the hub refuses other/model: 403" in err
    assert not (tmp_path / "out").exists()
    status, _, err = hybrid_command(*train, "me/model")
    assert status == 0, err
    assert [(how, name) for how, name, _ in hub.sent] == [
        ("create", "me/model"),
        ("upload", "me/model"),
    ]
    assert {"README.md", "modules.json"} <= set(hub.sent[1][2]["files"])
    with pytest.raises(UsageError, match="give owner/name"):
        make_repository("model")
    with pytest.raises(TransferError):
        make_repository("other/model")
