"""The bundled collections: documents from the interpreter, queries and judgments from files."""

from __future__ import annotations

import hashlib
import inspect
import pkgutil
import re
import sys
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version

import pytest
import Stemmer

from hybrid.corpus.stdlib import docstrings, source
from hybrid.errors import CorpusError

JUDGED_ON = sys.version_info[:2] == source.JUDGED_PYTHON
SHARES = {  # of the kinds of ``stdlib``: train and test queries
    "keywords": (36, 54),
    "questions": (30, 45),
    "names": (18, 27),
    "errors": (18, 27),
    "paraphrases": (18, 27),
}
SCIENTIFIC = {  # the same of ``scientific``
    "keywords": (14, 22),
    "questions": (12, 18),
    "names": (7, 11),
    "errors": (7, 11),
    "paraphrases": (7, 11),
}

STOPWORDS = frozenset(
    word
    for line in (
        "a about above after again all also am an and any are aren as at be been before being",
        "below both but by can cannot could did do does doing don down during each either else",
        "every few for from further get gets had has have having he her here his how i if in into",
        "is isn it its itself just like may me might more most much must my need no nor not of off",
        "on once one only onto or other our out over own rather same she should so some such than",
        "that the their them then there these they this those through to too under until up upon",
        "us use used using very want was we were what when where whether which while who whom",
        "whose why will with without would you your",
    )
    for word in line.split()
)
WORD = re.compile(r"[^\W_]+")
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")  # of CamelCase and of letters2digits


def content_words(text: str) -> set[str]:
    """Return the stems (Snowball English) of the words of two characters or more, lower case,
    also of the parts of joined names, without stopwords."""
    words = {word.lower() for pattern in (WORD, PART) for word in pattern.findall(text)}
    stem = Stemmer.Stemmer("english").stemWord
    return {stem(word) for word in words if len(word) > 1 and word not in STOPWORDS}


@pytest.fixture(scope="module")
def documents() -> dict[str, tuple[str, str]]:
    found = list(source.documents())
    assert len({doc_id for doc_id, _, _ in found}) == len(found)
    return {doc_id: (title, text) for doc_id, title, text in found}


def judgments(collection: str) -> dict[str, dict[str, int]]:
    return {q: judged for s in source.splits() for q, judged in source.qrels(s, collection).items()}


def answers(judged: dict[str, int]) -> Iterable[str]:
    return (doc_id for doc_id, grade in judged.items() if grade == 2)


def test_content_words() -> None:
    assert content_words("heapq.merge(*iterables, key=None)") == {
        "heapq",
        "merg",
        "iter",
        "key",
        "none",
    }
    assert content_words("ThreadPoolExecutor") == {
        "threadpoolexecutor",
        "thread",
        "pool",
        "executor",
    }
    assert content_words("how do I use it, x") == set()


def test_documents(documents: dict[str, tuple[str, str]]) -> None:
    assert 3000 <= len(documents) <= 6000
    assert list(documents) == sorted(documents)
    texts = Counter(text for _, text in documents.values())
    assert max(texts.values()) == 1
    assert all(text.strip() == text != "" for text in texts)
    assert all(title.startswith(doc_id) for doc_id, (title, _) in documents.items())
    assert documents["heapq.merge"][0] == "heapq.merge(*iterables, key=None, reverse=False)"
    assert not [title for title, text in documents.values() if " at 0x" in title + text]
    assert not [i for i in documents if any(part.startswith("_") for part in i.split("."))]


@pytest.mark.parametrize(
    "doc_id",
    ["builtins.open", "os.path.join", "os.listdir", "random.randint", "re.compile", "asyncio.run",
     "collections.OrderedDict.move_to_end", "pathlib.PurePath.stem", "concurrent.futures.wait",
     "itertools.groupby", "json", "argparse.ArgumentParser.add_argument"],
)  # fmt: skip
def test_an_object_has_its_documented_name_and_docstring(
    documents: dict[str, tuple[str, str]], doc_id: str
) -> None:
    assert documents[doc_id][1] == inspect.cleandoc(pkgutil.resolve_name(doc_id).__doc__).strip()


@pytest.mark.parametrize(
    "alias",
    ["io.open", "posixpath.join", "posix.listdir", "random.Random.randint", "builtins.IOError",
     "asyncio.runners.run", "concurrent.futures._base.wait", "sre_compile.compile"],
)  # fmt: skip
def test_an_alias_is_no_document(documents: dict[str, tuple[str, str]], alias: str) -> None:
    assert alias not in documents


def test_every_process_gathers_the_same(documents: dict[str, tuple[str, str]]) -> None:
    again = [(doc_id, title, text) for doc_id, (title, text) in documents.items()]
    assert list(source.documents()) == again


def test_gathering_leaves_no_trace(capfd: pytest.CaptureFixture[str]) -> None:
    before = set(sys.modules)
    assert next(source.documents())
    assert set(sys.modules) == before
    assert capfd.readouterr() == ("", "")


def test_signature_holds_nothing_of_this_process() -> None:
    def example(
        self: object, a: int, b: object = object(), *, path: str = "/tmp", n: int = 3
    ) -> None:
        """Return nothing."""

    assert docstrings.signature(example) == "(a, b=..., *, path=..., n=3)"
    assert docstrings.signature(print.__class__.mro) == docstrings.signature(type.mro)
    assert docstrings.signature(3) == ""


def test_docstring_is_the_object_s_own() -> None:
    class Base:
        """Say something."""

    class Silent(Base):
        pass

    class Built(Base):
        def __init__(self) -> None:
            """Build it."""

    assert docstrings.docstring(Base) == "Say something."
    assert docstrings.docstring(Silent) == ""
    assert docstrings.docstring(Built) == "Build it."


def test_missing_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(CorpusError, match="cannot be started"):
        next(source.documents())


def test_failing_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "GATHER", source.DATA / "nothing.py")
    with pytest.raises(CorpusError, match="exit status 2"):
        next(source.documents())


@pytest.mark.parametrize("collection", source.COLLECTIONS)
def test_queries_and_splits(collection: str) -> None:
    queries = dict(source.queries(collection))
    least = 120 if collection == "scientific" else 300
    assert len(queries) == len(source.queries(collection)) >= least
    assert len(set(queries.values())) == len(queries)
    train, test = (set(source.qrels(split, collection)) for split in source.splits())
    assert not train & test
    assert train | test == set(queries) == set(source.query_metadata(collection))


@pytest.mark.parametrize("collection", source.COLLECTIONS)
def test_judgments(collection: str) -> None:
    for judged in judgments(collection).values():
        assert set(judged.values()) <= {0, 1, 2}
        assert list(answers(judged))


def test_scientific_documents() -> None:
    found = list(source.documents("scientific"))
    texts = {doc_id: (title, text) for doc_id, title, text in found}
    assert list(texts) == sorted(texts)
    assert len(texts) == len(found) > 2000
    assert len({text for _, text in texts.values()}) == len(found)
    assert texts["numpy.clip"][0].startswith("numpy.clip(a, a_min=")
    assert texts["scipy.special.gammaln"][0] == "scipy.special.gammaln"  # a ufunc has no signature
    assert texts["scipy.stats.norm"][1].startswith("A normal continuous random variable.")
    assert not [i for i in texts if any(part.startswith("_") for part in i.split("."))]
    judged = judgments("scientific")
    if (version("numpy"), version("scipy")) == source.JUDGED_PACKAGES:
        assert {doc_id for row in judged.values() for doc_id in row} <= texts.keys()
    assert all(set(answers(row)) & texts.keys() for row in judged.values())


def test_scientific_shares() -> None:
    kinds = {q: kept["kind"] for q, kept in source.query_metadata("scientific").items()}
    for kind, (train, test) in SCIENTIFIC.items():
        for split, count in (("train", train), ("test", test)):
            qrels = source.qrels(split, "scientific")
            assert sum(kinds[query_id] == kind for query_id in qrels) == count


def test_unknown_split() -> None:
    with pytest.raises(CorpusError, match="stdlib has no split 'dev'; it has train, test"):
        source.qrels("dev")


@pytest.mark.parametrize(
    ("file", "digest"),
    [
        ("queries.jsonl", "a075cfa660173531382d07cba55e2544579096853564fcb119999bbf7fbc68b1"),
        ("qrels/train.tsv", "efcb62ce9cba74a92b091e9f6d67b03b5ceccffe45d455b54567b21378b1d9b0"),
        ("qrels/test.tsv", "27c46d5a07aa87bebda4f87c1eac3a2757b6560fc96ef6ac1d106d8fc34deb72"),
    ],
)
def test_the_hard_collection_is_unchanged(file: str, digest: str) -> None:
    found = (source.COLLECTIONS["stdlib-hard"] / file).read_bytes()
    assert hashlib.sha256(found).hexdigest() == digest


def test_kinds_have_their_shares_in_each_split() -> None:
    metadata = source.query_metadata()
    found = [Counter(metadata[q]["kind"] for q in source.qrels(split)) for split in source.splits()]
    assert found == [{kind: each[i] for kind, each in SHARES.items()} for i in range(2)]
    assert list(metadata) == [f"s{number:03}" for number in range(1, 301)]


def test_most_of_a_pool_is_judged_not_relevant() -> None:
    judged = judgments("stdlib").values()
    grades = Counter(grade for each in judged for grade in each.values())
    assert grades == {2: 415, 1: 497, 0: 6238}
    assert min(map(len, judged)) >= 10  # the first ten of at least one system


def test_paraphrases_share_no_word_with_an_answer(documents: dict[str, tuple[str, str]]) -> None:
    if not JUDGED_ON:
        pytest.skip(f"the docstrings of Python {source.JUDGED_PYTHON} were judged")
    metadata, judged = source.query_metadata(), judgments("stdlib")
    for query_id, text in source.queries():
        if metadata[query_id]["kind"] == "paraphrases":
            found = [" ".join(documents[doc_id]) for doc_id in answers(judged[query_id])]
            assert any(not content_words(text) & content_words(each) for each in found), text


def test_splits_of_the_hard_collection_are_alike() -> None:
    metadata = source.query_metadata("stdlib-hard")
    train, test = (source.qrels(split, "stdlib-hard") for split in source.splits())
    overlap = [sum(metadata[q]["lexical_overlap"] for q in split) for split in (train, test)]
    assert len(train) == len(test)
    assert abs(overlap[0] - overlap[1]) <= 1


@pytest.mark.parametrize("collection", ["stdlib", "stdlib-hard"])
def test_judged_documents_exist(collection: str, documents: dict[str, tuple[str, str]]) -> None:
    judged = {doc_id for judged in judgments(collection).values() for doc_id in judged}
    missing = judged - set(documents)
    assert len(missing) <= (0 if JUDGED_ON else 0.05 * len(judged)), missing


def test_lexical_overlap_is_as_flagged(documents: dict[str, tuple[str, str]]) -> None:
    metadata = source.query_metadata("stdlib-hard")
    flags = {query_id: noted["lexical_overlap"] for query_id, noted in metadata.items()}
    texts = dict(source.queries("stdlib-hard"))
    wrong = []
    for query_id, judged in judgments("stdlib-hard").items():
        words = content_words(texts[query_id])
        here = [" ".join(documents[doc_id]) for doc_id in answers(judged) if doc_id in documents]
        if any(words & content_words(text) for text in here) != flags[query_id]:
            wrong.append((query_id, texts[query_id]))
    assert len(wrong) <= (0 if JUDGED_ON else 0.05 * len(flags)), wrong
    assert sum(not flag for flag in flags.values()) >= len(flags) / 2
