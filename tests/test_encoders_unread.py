"""Text that a model does not read is counted and told: by build, add, info, and for a query."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import hybrid
from hybrid.build.create import build_index
from hybrid.build.options import BuildOptions
from hybrid.build.rebuild import rebuild_branches
from hybrid.corpus import Document, Passages, open_source
from hybrid.encoders import load_dense, load_sparse
from tests.conftest import write_beir
from tests.test_cli import Command, hybrid_command

__all__ = ["hybrid_command"]
LIMIT = 32
SPECIAL = 2
WORD = "merge "


class Texts:
    """A source of documents in memory."""

    name = "texts"

    def __init__(self, *texts: str) -> None:
        from hybrid.corpus import Skipped

        self.skipped = Skipped()
        self._texts = texts

    def documents(self) -> Iterator[Document]:
        yield from (Document(f"d{i}", text) for i, text in enumerate(self._texts))

    def document_count(self) -> int:
        return len(self._texts)


@pytest.mark.parametrize("prompt", ["", "read "])
def test_unread_tokens_are_those_beyond_the_limit(
    tiny_dense: Path, tiny_sparse: Path, prompt: str
) -> None:
    words = [0, 1, LIMIT - SPECIAL, LIMIT - SPECIAL + 1, 100]
    texts = [WORD * count for count in words]
    dense = load_dense(str(tiny_dense), document_prompt=prompt)
    expected = np.maximum(np.array(words) + len(prompt.split()) - (LIMIT - SPECIAL), 0)
    assert dense.unread_tokens(texts, "document").tolist() == expected.tolist()
    assert dense.unread_tokens([], "document").tolist() == []
    assert load_sparse(str(tiny_sparse)).unread_tokens(texts, "query").tolist() == [0, 0, 0, 1, 70]
    # What is cut is not read: the rest makes no difference.
    short, long = dense.encode_documents([WORD * (LIMIT - SPECIAL), WORD * 100])
    np.testing.assert_allclose(short, long, atol=1e-6)


def test_a_limit_that_differs_by_task_and_one_that_is_not_there(
    tiny_bert: Path, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer, SparseEncoder
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from sentence_transformers.sparse_encoder.modules import (
        Router,
        SparseStaticEmbedding,
        SpladePooling,
        Transformer,
    )
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=4)], device="cpu").save(
        str(tmp_path / "static")
    )
    static = load_dense(str(tmp_path / "static"), device="cpu")
    assert static.unread_tokens([WORD * 1000], "document").tolist() == [0]
    tokenizer.model_max_length = 5
    transformer = Transformer(str(tiny_bert), transformer_task="fill-mask", max_seq_length=LIMIT)
    router = Router.for_query_document(
        [SparseStaticEmbedding(tokenizer=tokenizer, frozen=False)],
        [transformer, SpladePooling("max")],
    )
    SparseEncoder(modules=[router], device="cpu").save(str(tmp_path / "router"))
    routed = load_sparse(str(tmp_path / "router"), device="cpu")
    assert routed.unread_tokens([WORD * 40], "document").tolist() == [10]
    assert routed.unread_tokens([WORD * 5, WORD * 7], "query").tolist() == [0, 2]


def test_build_add_and_info_tell_what_was_cut(
    tiny_sparse: Path, tiny_dense: Path, tmp_path: Path
) -> None:
    long = [WORD * count for count in (40, 60, 100)]
    options = BuildOptions(sparse=str(tiny_sparse), dense=str(tiny_dense))
    report = build_index(Texts("heap", *long), tmp_path / "index", options)
    told = [alarm for alarm in report.alarms if alarm.startswith("cut")]
    assert told == [
        f"cut: 3 of 4 documents are longer than the model of branch {name!r} reads, by 30 tokens "
        "in the median and 70 at most, which are not indexed there; build with --passages"
        for name in ("sparse", "dense")
    ]
    figures = {"texts_cut": 3, "tokens_unread_median": 30, "tokens_unread_most": 70}
    assert figures.items() <= report.branches["dense"].report.items()
    assert "texts_cut" not in report.branches["bm25"].report
    with hybrid.open(tmp_path / "index") as index:
        added = index.add([Document("e", WORD * 130), Document("f", "heap")])
        assert sum(alarm.startswith("cut: 1 of 2 documents") for alarm in added.alarms) == 2
        assert not index.add([Document("g", "heap")]).alarms
        found = index.info()
    after = {"texts_cut": 4, "tokens_unread_median": 48, "tokens_unread_most": 100}
    assert after.items() <= found.branches["sparse"]["report"].items()
    lines = "\n".join(found.lines())
    assert lines.count("texts_cut: 4") == lines.count("build with --passages") == 2
    rebuilt = rebuild_branches(tmp_path / "index", ["dense"])
    assert rebuilt.branches["dense"].report["tokens_unread_median"] == 50
    assert [alarm[:20] for alarm in rebuilt.alarms] == ["cut: 4 of 7 documents"[:20]]


def test_passages_are_the_cure_and_are_counted_themselves(tiny_dense: Path, tmp_path: Path) -> None:
    source = Texts("heap", WORD * 100)
    for size, cut in ((20, 0), (40, 2)):
        options = BuildOptions(sparse=None, dense=str(tiny_dense), passages=Passages(size))
        report = build_index(source, tmp_path / f"{size}", options)
        assert report.branches["dense"].report.get("texts_cut", 0) == cut
    assert report.alarms == (
        "cut: 2 of 4 passages are longer than the model of branch 'dense' reads, by 10 tokens in "
        "the median and 10 at most, which are not indexed there; build with shorter --passages",
    )


def test_nothing_is_said_where_all_is_read(tiny_index: Path, beir_folder: Path) -> None:
    with hybrid.open(tiny_index) as index, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not any("texts_cut" in each["report"] for each in index.info().branches.values())
        index.search("merge sorted lists", 3)
        index.search({"a": "heap", "b": WORD * (LIMIT - SPECIAL)}, 3)


def test_a_query_that_is_cut_warns(
    hybrid_command: Command, tiny_index: Path, tmp_path: Path
) -> None:
    with hybrid.open(tiny_index) as index:
        for name in ("sparse", "dense"):
            said = rf"^1 of 2 queries are longer than the model of branch '{name}' reads: up to 3 t"
            with pytest.warns(RuntimeWarning, match=said):
                index.search({"a": "heap", "b": WORD * (LIMIT - SPECIAL + 3)}, 3, fusion=name)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            index.search(WORD * 50, 3, fusion="bm25")
    status, _, err = hybrid_command("search", tiny_index, WORD * 50, "--fusion", "dense")
    assert status == 0
    assert re.fullmatch(r"warning: 1 of 1 queries .*up to 20 tokens.*\nranked by dense\n", err)


def test_the_command_line_tells_of_it(
    hybrid_command: Command, tiny_dense: Path, tmp_path: Path
) -> None:
    folder = write_beir(tmp_path / "beir")
    with (folder / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"_id": "long", "text": "' + WORD * 50 + '"}\n')
    command = ("build", folder, "-o", tmp_path / "index", "--sparse", "none")
    status, _, err = hybrid_command(*command, "--dense", tiny_dense)
    assert status == 0, err
    assert "alarm: cut: 1 of " in err
    assert "by 20 tokens" in err
    _, out, _ = hybrid_command("info", tmp_path / "index")
    assert "texts_cut: 1" in out
    assert "build with --passages" in out
    assert open_source(folder).name in out
