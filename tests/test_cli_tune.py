"""``hybrid tune`` beyond one source: several domains, storage, a prior."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import hybrid
from hybrid.corpus import Document, Query
from hybrid.corpus.qrels import Qrels, write_qrels
from hybrid.fusion import Fusion
from hybrid.tune import TuneOptions
from hybrid.tune.on_index import fusion_at, tune_index
from tests.conftest import write_beir
from tests.test_cli import Command, hybrid_command
from tests.test_living import WORDS, Memory, document
from tests.test_living import build as living

__all__ = ["hybrid_command"]
QUICK = ("--trials", "0", "--repeats", "1", "--folds", "2")


def test_the_object_has_the_promised_keys_and_the_same_bytes_again(
    hybrid_command: Command, tiny_copy: Path, beir_folder: Path
) -> None:
    fixed = ("tune", tiny_copy, beir_folder, "--trials", "8", "--no-store", "--json")
    status, out, err = hybrid_command(*fixed)
    assert status == 0, err
    found = json.loads(out)
    assert found["verdict"] in {"fusion", "default", "branch"}
    assert Fusion.parse(found["fusion"])
    assert all(isinstance(found[key], float) for key in ("in_sample", "held_out"))
    assert set(found["difference"]) == {"branch", "rrf", "minmax", "subset"}
    for each in found["difference"].values():
        assert each["low"] <= each["mean"] <= each["high"]
        assert 0 < each["p"] <= each["p_holm"] <= 1
    assert found["label_budget"]["queries"] == found["queries"]
    assert set(found["importance"]) <= {"branches", "method", "norm", "k", "depth"}
    assert hybrid_command(*fixed)[1] == out
    with hybrid.open(tiny_copy) as index:
        assert index.domains == {}


def test_storage_is_used_and_goes_on_to_the_same_answer(
    hybrid_command: Command, tiny_copy: Path, beir_folder: Path, tmp_path: Path
) -> None:
    storage = tmp_path / "trials.journal"
    fixed = ("tune", tiny_copy, beir_folder, *QUICK[2:], "--no-store", "--json")
    plain = json.loads(hybrid_command(*fixed, "--trials", "9")[1])
    hybrid_command(*fixed, "--trials", "7", "--storage", storage)
    size = storage.stat().st_size
    status, out, err = hybrid_command(*fixed, "--trials", "9", "--storage", storage)
    assert status == 0, err
    assert json.loads(out) == plain
    assert storage.stat().st_size > size
    status, _, err = hybrid_command(*fixed, "--storage", tmp_path / "trials.txt")
    assert status == 1
    assert "no known suffix" in err


def test_interrupted_tuning_says_what_is_kept(
    hybrid_command: Command,
    tiny_copy: Path,
    beir_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import hybrid.tune.tuner as tuner

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tuner, "held_out_values", stop)
    fixed = ("tune", tiny_copy, beir_folder, *QUICK)
    status, out, err = hybrid_command(*fixed)
    assert (status, out) == (130, "")
    assert "no trial was kept; give --storage FILE" in " ".join(err.split())
    storage = tmp_path / "t.journal"
    status, _, err = hybrid_command(*fixed, "--storage", storage)
    assert status == 130
    assert f"finished trials are in {storage}" in " ".join(err.split())
    with hybrid.open(tiny_copy) as index:
        assert index.domains == {}


def test_several_domains_get_a_fusion_each_and_unknown_ones_the_pooled(
    hybrid_command: Command, tiny_copy: Path, tiny_index: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(tiny_index, tmp_path / "other"))
    first, second = write_beir(tmp_path / "first"), write_beir(tmp_path / "second")
    names = ("--domain", "law", "--domain", "news")
    status, out, err = hybrid_command(
        "tune", tiny_copy, first, f"{second}@{other}", *names, *QUICK, "--json"
    )
    assert status == 0, err
    found = json.loads(out)
    assert set(found["domains"]) == {"law", "news"}
    assert set(found["transfer"]) == {"law", "news", "pooled", "default"}
    assert found["transfer"]["law"]["law"] == found["domains"]["law"]["held_out"]
    with hybrid.open(tiny_copy) as here, hybrid.open(other) as there:
        assert set(here.domains) == {"law", "pooled"}
        assert set(there.domains) == {"news", "pooled"}
        assert str(here.fusion(domain="law")) == found["domains"]["law"]["fusion"]
        assert str(here.fusion(domain="cooking")) == found["pooled"]
        assert str(here.fusion()) == found["pooled"]
    _, out, _ = hybrid_command("search", tiny_copy, "json", "--domain", "cooking", "--json")
    assert json.loads(out)["fusion"] == found["pooled"]
    status, out, err = hybrid_command("tune", tiny_copy, first, f"{second}@{other}", *names, *QUICK)
    assert status == 0, err
    assert "unknown domains:" in out
    assert "tuned on" in out


def test_a_prior_is_saved_and_used(
    hybrid_command: Command, tiny_copy: Path, tmp_path: Path
) -> None:
    folders = [write_beir(tmp_path / name) for name in ("a", "b", "c")]
    prior = tmp_path / "prior.json"
    status, _, err = hybrid_command("tune", tiny_copy, *folders, *QUICK, "--save-prior", prior)
    assert status == 0, err
    fixed = ("tune", tiny_copy, folders[0], *QUICK, "--no-store", "--json")
    found = json.loads(hybrid_command(*fixed, "--prior", prior)[1])
    assert found["settings"]["prior"]["domains"] == 3
    prior.write_text("{}")
    status, out, err = hybrid_command(*fixed, "--prior", prior)
    assert (status, out) == (1, "")
    assert "is no prior" in err


def test_a_fusion_is_stored_with_the_depth_that_it_was_measured_at(
    hybrid_command: Command, tiny_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hybrid.tune.on_index as domains
    import hybrid.tune.on_index as tuning

    chosen = Fusion.parse("cc(norm=minmax)")
    one, many = tuning.tune, domains.tune_domains

    def several(*given: Any, **named: Any) -> Any:
        found = many(*given, **named)
        results = {name: replace(each, fusion=chosen) for name, each in found.results.items()}
        return replace(found, results=results, pooled=chosen)

    monkeypatch.setattr(tuning, "tune", lambda *a, **n: replace(one(*a, **n), fusion=chosen))
    monkeypatch.setattr(domains, "tune_domains", several)
    first, second = write_beir(tmp_path / "first"), write_beir(tmp_path / "second")
    names = ("--domain", "law", "--domain", "news")
    fixed = ("tune", tiny_copy, *QUICK, "--json", "--depth")
    for depth, stored in (("4", replace(chosen, depth=4)), ("1000", chosen)):
        status, out, err = hybrid_command(*fixed, depth, first)
        assert status == 0, err
        assert json.loads(out)["fusion"] == str(stored)
        status, out, err = hybrid_command(*fixed, depth, first, second, *names)
        assert status == 0, err
        assert json.loads(out)["pooled"] == str(stored)
        with hybrid.open(tiny_copy) as index:
            assert index.domains == dict.fromkeys(("default", "law", "news", "pooled"), stored)


@pytest.mark.parametrize(
    ("fusion", "depth", "documents", "stored"),
    [
        ("cc(alpha=0.3)", 100, 5000, 100),
        ("rrf", 2000, 5000, 2000),
        ("cc(alpha=0.3)", 1000, 5000, None),
        ("cc(alpha=0.3)", 50, 50, None),
        ("cc(alpha=0.3)", 3000, 3000, 3000),
        ("cc(alpha=0.3, depth=50)", 100, 5000, 50),
        ("dense", 100, 5000, None),
    ],
)
def test_a_depth_is_written_where_a_search_would_take_another(
    fusion: str, depth: int, documents: int, stored: int | None
) -> None:
    given = Fusion.parse(fusion)
    assert fusion_at(given, depth, documents) == (
        given if stored in (None, given.depth) else replace(given, depth=stored)
    )


class Judged(Memory):
    """Documents with a judged query for each word that some of them hold."""

    def queries(self, split: str | None = None) -> Iterator[Query]:
        return (Query(word, f"{word} {other}") for word, other in pairwise(WORDS))

    def qrels(self, split: str) -> Qrels:
        found = {q.query_id: [d for d in self.held if q.query_id in d.text] for q in self.queries()}
        return {word: {each.doc_id: 1 for each in some[:3]} for word, some in found.items()}


def dated(number: int) -> Document:
    made = document(number)
    return replace(made, title=f"{made.title} {made.text}", fields={"year": 2000 + number % 2})


def test_tuning_under_a_filter_is_tuning_of_an_index_of_what_it_lets_through(
    tmp_path: Path,
) -> None:
    every = [dated(number) for number in range(60)]
    some = Judged([each for each in every if each.fields["year"] == 2001])
    options = TuneOptions(trials=12, folds=2, repeats=1, depth=20)
    found = []
    for name, held, where in (("every", every, "year == 2001"), ("some", some.held, None)):
        index = living(tmp_path / name, held)
        found.append(tune_index(index, some, replace(options, filter=where)))
    one, other = (each.to_dict() for each in found)
    assert one == other
    assert one["held_out"] > 0


def test_a_domain_records_the_filter_that_it_was_tuned_under(
    hybrid_command: Command, tmp_path: Path
) -> None:
    some = Judged([dated(number) for number in range(40)])
    corpus, queries, qrels = (tmp_path / name for name in ("corpus.jsonl", "queries.tsv", "qrels"))
    rows = [{"_id": d.doc_id, "text": d.full_text, **d.fields} for d in some.held]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    queries.write_text("".join(f"{q.query_id}\t{q.text}\n" for q in some.queries()))
    write_qrels(qrels, some.qrels("train"))
    index = tmp_path / "index"
    options = ("--sparse", "none", "--dense", "none", "--fields", "year:int")
    assert hybrid_command("build", corpus, "-o", index, *options)[0] == 0
    fixed = ("tune", index, corpus, "--queries", queries, "--qrels", qrels, *QUICK, "--json")
    status, out, err = hybrid_command(*fixed, "--filter", "year == 2001")
    assert status == 0, err
    assert json.loads(out)["filter"] == "year == 2001"
    with hybrid.open(index) as opened:
        assert opened.contents.domains["default"]["report"]["filter"] == "year == 2001"
    assert json.loads(hybrid_command(*fixed)[1])["filter"] is None
    status, _, err = hybrid_command(*fixed, "--filter", "colour == 1")
    assert status == 1
    assert "colour" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("{beir}", "--folds", "1"), "folds 1"),
        (("{beir}", "--jobs", "0"), "jobs 0"),
        (("{beir}", "--timeout", "0"), "give more than 0"),
        (("{beir}", "--domain", "a", "--domain", "b"), "--domain names 2; give one"),
        (("{beir}", "{beir}"), "give two or more, each once"),
        (("{beir}", "{beir}", "--domain", "a"), "2 sources and 1 names"),
        (("{beir}", "{beir}", "--domain", "a", "--domain", "pooled"), "names the pooled fusion"),
        (("{beir}", "--domain", "pooled"), "names the fusion pooled over several"),
        (("{beir}", "{beir}", "--domain", "a", "--domain", "default"), "names the untuned fusion"),
        (("{beir}", "{beir}", "--prior", "{tmp}/p.json"), "--prior has no effect with several"),
        (("{beir}", "--save-prior", "{tmp}/p.json"), "needs three sources"),
        (("{beir}", "--prior", "{tmp}/none.json"), "is no prior"),
    ],
)
def test_what_is_refused_changes_nothing(
    hybrid_command: Command,
    tiny_copy: Path,
    beir_folder: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    said: str,
) -> None:
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    places = {"beir": beir_folder, "tmp": tmp_path}
    given = [argument.format(**places) for argument in arguments]
    status, out, err = hybrid_command("tune", tiny_copy, *given, "--trials", "0")
    assert (status, out) == (1, "")
    assert said in " ".join(err.split())
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
