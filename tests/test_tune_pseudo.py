from __future__ import annotations

import pytest

from hybrid.corpus import Document
from hybrid.errors import UsageError
from hybrid.evaluate import judge
from hybrid.evaluate.bench import Bench
from hybrid.fusion import Fusion
from hybrid.tune.pseudo import agreement, known_item_queries
from tests.made_pools import planted

DOCUMENTS = [
    Document(
        f"d{i}", f"Number {i} is here. A second sentence about {i} follows. No.", f"Title of {i}"
    )
    for i in range(30)
]


def test_each_query_is_part_of_the_document_that_it_asks_for() -> None:
    made = known_item_queries(DOCUMENTS, 12, seed=3)
    assert made.weak
    assert len(made.queries) == 12
    texts = {d.doc_id: d.text for d in DOCUMENTS}
    for query_id, text in made.queries.items():
        ((doc_id, grade),) = made.qrels[query_id].items()
        assert grade == 1
        words = text.split()
        assert len(words) >= 3
        assert set(words) <= set(texts[doc_id].split())


def test_titles_whole_and_seeds() -> None:
    made = known_item_queries(DOCUMENTS, 5, kind="title", drop=0.0, seed=1)
    assert all(text.startswith("Title of ") for text in made.queries.values())
    assert made == known_item_queries(DOCUMENTS, 5, kind="title", drop=0.0, seed=1)
    assert made != known_item_queries(DOCUMENTS, 5, kind="title", drop=0.0, seed=2)
    assert len(known_item_queries(DOCUMENTS, 500).queries) == 30


def test_a_corpus_without_usable_text_is_refused() -> None:
    with pytest.raises(UsageError, match="no document has a title of 3 words"):
        known_item_queries([Document("a", "some text that is long enough")], kind="title")


def test_agreement_is_whole_with_itself_and_its_regret_is_a_loss() -> None:
    real = Bench(judge(*planted(1, sparse=1, dense=3)), "nDCG@10")
    other = Bench(judge(*planted(2, sparse=3, dense=0.5)), "nDCG@10")
    fusions = [Fusion.parse(t) for t in ("sparse", "dense", "cc(alpha=0.3)", "cc(alpha=0.8)")]
    same = agreement(real, real, fusions)
    assert (same.tau, same.regret) == (pytest.approx(1), 0)
    crossed = agreement(other, real, fusions)
    assert crossed.tau < 0.5
    best = max(real.values(f).mean() for f in fusions)
    assert crossed.regret == pytest.approx(best - real.values(crossed.chosen).mean())
    assert crossed.to_dict()["chosen"] == str(crossed.chosen)
    with pytest.raises(UsageError, match="two or more"):
        agreement(real, real, fusions[:1])
