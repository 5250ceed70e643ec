from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hybrid.encoders.models.by_name import load_sparse
from hybrid.errors import CorpusError, OutputExistsError, StorageError, UsageError
from hybrid.training import Example, TrainOptions, read_examples, split_examples, train
from hybrid.training.recipes import RECIPES, find_recipe
from tests.conftest import DOCUMENTS, QUERIES, write_beir

TEXTS = {doc_id: f"{title} {text}" for doc_id, (title, text) in DOCUMENTS.items()}


def made_examples() -> list[Example]:
    """Return a scored example with two negatives for every judged query, twice over."""
    rows = []
    for text, judged in QUERIES.values():
        positive = next(iter(judged))
        others = [TEXTS[doc_id] for doc_id in TEXTS if doc_id not in judged]
        for start in (0, 2):
            negatives = tuple(others[start : start + 2])
            rows.append(Example(text, TEXTS[positive], negatives, (3.0, 1.0, 0.5)))
    return rows


def made_options(model: Path, **changes: object) -> TrainOptions:
    options = TrainOptions(
        str(model), steps=2, batch_size=4, learning_rate=1e-3, device="cpu", max_length=32
    )
    return replace(options, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_every_recipe_trains_and_its_model_encodes(
    recipe: str, tiny_bert: Path, tmp_path: Path
) -> None:
    options = made_options(
        tiny_bert,
        recipe=recipe,
        query_model=str(tiny_bert) if recipe == "efficient" else None,
        held_out=2,
        checkpoint_steps=2,
    )
    done: list[int] = []
    shown: list[tuple[str, int | None]] = []

    def progress(label: str, total: int | None) -> Callable[[int], None]:
        shown.append((label, total))
        return done.append

    report = train(made_examples(), tmp_path / "out", options, progress=progress)
    assert shown == [("training", 2)]
    assert report.steps == sum(done) == 2
    assert [measured.step for measured in report.measured] == [0, 2]
    assert 0 <= report.measured[0].ndcg <= 1
    assert any("document_regularizer_loss" in row for row in report.losses)
    saved = json.loads((tmp_path / "out" / "train.json").read_text())
    assert saved["config"]["recipe"] == recipe
    encoder = load_sparse(str(report.model))
    assert encoder.encode_documents(["merge sorted lists"]).shape == (1, len(encoder.vocabulary))
    assert encoder.encode_queries(["merge sorted lists"]).nnz > 0


def test_doc_only_queries_are_looked_up(tiny_bert: Path, tmp_path: Path) -> None:
    options = made_options(tiny_bert, recipe="doc-only")
    encoder = load_sparse(str(train(made_examples(), tmp_path / "out", options).model))
    row = encoder.encode_queries(["json json parse"])
    terms = {encoder.vocabulary[number] for number in row.indices}
    assert terms == {"json", "parse"}
    assert np.allclose(row.data, 1.0, atol=0.01)


@pytest.mark.parametrize(
    "changes",
    [
        {"pooling": "sum"},
        {"accumulation": 2},
        {"mini_batch_size": 2},
        {"recipe": "ensemble-distil", "temperature": 2.0},
    ],
)
def test_options_train(changes: dict[str, object], tiny_bert: Path, tmp_path: Path) -> None:
    report = train(made_examples(), tmp_path / "out", made_options(tiny_bert, **changes))
    assert report.steps == 2
    assert report.model.is_dir()


def test_resumed_run_equals_uninterrupted(tiny_bert: Path, tmp_path: Path) -> None:
    rows = made_examples()
    options = made_options(tiny_bert, steps=6, checkpoint_steps=2)
    expected = train(rows, tmp_path / "whole", options)
    interrupted = train(rows, tmp_path / "broken", options, stop_after=3)
    assert interrupted.steps == 3
    assert not interrupted.model.exists()
    resumed = train(rows, tmp_path / "broken", options)
    assert resumed.steps == expected.steps == 6
    one, other = (
        load_sparse(str(report.model)).encode_documents(list(TEXTS.values()))
        for report in (expected, resumed)
    )
    np.testing.assert_array_equal(one.toarray(), other.toarray())


def test_trackers_are_told(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import TrainerCallback
    from transformers.integrations import integration_utils

    told: list[dict[str, float]] = []

    class Tracker(TrainerCallback):  # type: ignore[misc]
        def on_log(self, *_: object, logs: dict[str, float], **__: object) -> None:
            told.append(dict(logs))

    class Absent(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            raise RuntimeError("it is not installed")

    known = integration_utils.INTEGRATION_TO_CALLBACK
    monkeypatch.setitem(known, "trivial", Tracker)
    monkeypatch.setitem(known, "absent", Absent)
    options = made_options(tiny_bert, report_to=("trivial",))
    report = train(made_examples(), tmp_path / "out", options)
    assert [row["loss"] for row in told if "loss" in row] == [row["loss"] for row in report.losses]
    for name, message in (("trviial", "is not supported"), ("absent", "not installed")):
        with pytest.raises(UsageError, match=f"report_to is {name}: .*{message}"):
            # No example is looked at before: these would be refused.
            train([], tmp_path / name, made_options(tiny_bert, report_to=(name,)))


def test_finished_output_is_kept(tiny_bert: Path, tmp_path: Path) -> None:
    options = made_options(tiny_bert)
    train(made_examples(), tmp_path / "out", options)
    with pytest.raises(OutputExistsError, match="another output folder"):
        train(made_examples(), tmp_path / "out", options)


def test_an_output_that_cannot_be_written_is_said_first(tiny_bert: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/out cannot be written"):
        train(made_examples(), tmp_path / "file" / "out", made_options(tiny_bert))


def test_recipe_with_a_teacher_needs_scores(tiny_bert: Path, tmp_path: Path) -> None:
    bare = [Example(row.query, row.positive) for row in made_examples()]
    with pytest.raises(UsageError, match="mine and score"):
        train(bare, tmp_path / "out", made_options(tiny_bert, recipe="distil-splade"))
    with pytest.raises(UsageError, match="fewer than a batch"):
        train(bare, tmp_path / "out", made_options(tiny_bert, batch_size=99))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "splade-min"}, "the recipes are"),
        ({"batch_size": 0}, "1 or more"),
        ({"steps": -1}, "0 or more"),
        ({"learning_rate": 0.0}, "more than 0"),
        ({"pooling": "mean"}, "max or sum"),
        ({"recipe": "efficient"}, "give query_model"),
        ({"query_model": "x"}, "leave it out"),
        ({"teachers": ("hybrid",)}, "give one to mine from"),
    ],
)
def test_bad_options(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        made_options(tmp_path, **changes)


def test_recipes_that_learn_from_a_teacher() -> None:
    assert {name for name in RECIPES if find_recipe(name).needs_scores} == {
        "distil-splade",
        "ensemble-distil",
        "efficient",
    }


def test_examples_from_files_and_collections(tmp_path: Path) -> None:
    lines = tmp_path / "rows.jsonl"
    row = {"query": "a", "positive": "b", "negatives": ["c"], "scores": [2, 1.5]}
    lines.write_text(json.dumps(row) + "\n\n" + json.dumps({"query": "d", "positive": "e"}))
    assert read_examples(lines) == [Example("a", "b", ("c",), (2, 1.5)), Example("d", "e")]
    tabs = tmp_path / "rows.tsv"
    tabs.write_text("a\tb\tc\n")
    assert read_examples(tabs) == [Example("a", "b", ("c",))]
    found = read_examples(write_beir(tmp_path / "beir"))
    relevant = sum(grade > 0 for _, judged in QUERIES.values() for grade in judged.values())
    assert len(found) == relevant
    assert Example("parse json", TEXTS["json.load"].strip()) in found


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rows.jsonl", "{", "line 1 is not JSON"),
        ("rows.jsonl", '{"query": "a"}', "'positive'"),
        ("rows.jsonl", '{"query": "a", "positive": "b", "scores": [1, 2]}', "1.* 0 negatives|scor"),
        ("rows.tsv", "alone\n", "one column"),
        ("rows.jsonl", "\n", "no training example"),
    ],
)
def test_broken_examples(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(CorpusError, match=message):
        read_examples(tmp_path / name)


def test_held_out_examples_share_nothing_with_training() -> None:
    train_rows, dev = split_examples(made_examples(), 3, seed=1)
    assert len(dev) == 3
    assert not {row.query for row in train_rows} & {row.query for row in dev}
    assert not {row.positive for row in train_rows} & {row.positive for row in dev}
