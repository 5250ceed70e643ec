"""Shared fixtures: tiny random models that the tests make themselves, and a tiny collection."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Drawn examples have no time limit: tests assert no times.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

TEXT = (
    "merge sorted lists heap queue file path open read write random number seed "
    "regular expression match string date time zone json parse dump socket thread "
    "the a of to in and is for with not how do i"
)
WORDS = TEXT.split()

DOCUMENTS = {
    "heapq.merge": ("merge", "merge sorted lists with a heap"),
    "heapq.heappush": ("push", "write to the heap queue"),
    "json.dump": ("dump", "write json to a file"),
    "json.load": ("load", "read and parse json in a file"),
    "random.seed": ("seed", "seed the random number"),
    "re.match": ("match", "match a regular expression to a string"),
    "datetime.tzinfo": ("zone", "time zone of a date"),
    "os.path": ("path", "open a file path"),
    "socket.socket": ("socket", "open a socket in a thread"),
    "threading.Thread": ("thread", "a thread is not a socket"),
}
QUERIES = {
    "q1": ("how do i merge sorted lists", {"heapq.merge": 2, "heapq.heappush": 1}),
    "q2": ("parse json", {"json.load": 2}),
    "q3": ("random number", {"random.seed": 1}),
    "q4": ("regular expression for a string", {"re.match": 2, "os.path": 0}),
    "q5": ("date and time zone", {"datetime.tzinfo": 1}),
    "q6": ("thread socket", {"socket.socket": 2, "threading.Thread": 1}),
}


def write_beir(folder: Path, documents: dict[str, tuple[str, str]] | None = None) -> Path:
    """Write the tiny collection as a BEIR folder, train and test splits alike."""
    folder.mkdir(parents=True)
    documents = DOCUMENTS if documents is None else documents
    corpus = [
        {"_id": doc_id, "title": title, "text": text} for doc_id, (title, text) in documents.items()
    ]
    queries = [{"_id": query_id, "text": text} for query_id, (text, _) in QUERIES.items()]
    for name, rows in {"corpus": corpus, "queries": queries}.items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    (folder / "qrels").mkdir()
    for split in ("train", "test"):
        rows = [
            f"{query_id}\t{doc_id}\t{grade}\n"
            for query_id, (_, judged) in QUERIES.items()
            for doc_id, grade in judged.items()
        ]
        (folder / "qrels" / f"{split}.tsv").write_text(
            "query-id\tcorpus-id\tscore\n" + "".join(rows), encoding="utf-8"
        )
    return folder


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A cache of this test run, so that nothing comes from an earlier one."""
    os.environ["HYBRID_CACHE"] = str(tmp_path_factory.mktemp("cache"))


def load_script(path: str) -> ModuleType:
    """Return a pipeline or benchmark as a module; ``path`` is from the root, without .py."""
    file = Path(__file__).parent.parent / f"{path}.py"
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def beir_folder(tmp_path: Path) -> Path:
    return write_beir(tmp_path / "beir")


@pytest.fixture(scope="session")
def tiny_index(
    tiny_dense: Path, tiny_sparse: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An index of the tiny collection with three branches; copy it before changing it."""
    from hybrid.build.create import build_index
    from hybrid.build.options import BuildOptions
    from hybrid.corpus import open_source

    folder = tmp_path_factory.mktemp("tiny_index")
    source = open_source(write_beir(folder / "beir"))
    options = BuildOptions(sparse=str(tiny_sparse), dense=str(tiny_dense))
    build_index(source, folder / "index", options)
    return folder / "index"


@pytest.fixture
def tiny_copy(tiny_index: Path, tmp_path: Path) -> Path:
    """A copy of the tiny index that a test may change."""
    return Path(shutil.copytree(tiny_index, tmp_path / "index"))


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A two-layer random BERT with an MLM head and a word vocabulary, as a transformers folder."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

    folder = tmp_path_factory.mktemp("tiny_bert")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", "?", *WORDS]
    pieces = BertWordPieceTokenizer({word: number for number, word in enumerate(vocabulary)})
    BertTokenizerFast(tokenizer_object=pieces._tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_dense(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentenceTransformer folder: the tiny BERT, mean pooling, normalised."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    folder = tmp_path_factory.mktemp("tiny_dense")
    transformer = Transformer(str(tiny_bert), max_seq_length=32)
    pooling = Pooling(transformer.get_embedding_dimension())
    SentenceTransformer(modules=[transformer, pooling, Normalize()], device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_sparse(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SparseEncoder folder: the tiny BERT's MLM head, max pooling."""
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import SpladePooling, Transformer

    folder = tmp_path_factory.mktemp("tiny_sparse")
    transformer = Transformer(str(tiny_bert), transformer_task="fill-mask", max_seq_length=32)
    SparseEncoder(modules=[transformer, SpladePooling("max")], device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="session")
def tiny_cross(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder folder: the tiny BERT's shape with one random score."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("tiny_cross")
    torch.manual_seed(1)
    config = BertConfig.from_pretrained(tiny_bert, num_labels=1)
    model = BertForSequenceClassification(config)
    torch.nn.init.normal_(model.classifier.weight, std=5.0)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(folder)
    return folder
