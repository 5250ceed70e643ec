"""Train builtin:splade and builtin:splade-doc from all-MiniLM-L6-v2 and pairs of texts.

    python pipelines/train_builtin.py PAIRS WORK [--prepare]

PAIRS holds NAME.jsonl.gz with {"query", "positive"} a line, as named in train_builtin.json. WORK is
made; it gets the log and at the end the folder ``release``, whose two files are what the package
ships. Called again after an interruption, it goes on where it was.

The frozen layers run once over every text, then the head alone is trained on the stored states
(with "layers": 1 the last layer too). The teacher is the sum of BM25 over wordpieces and MiniLM's
cosine, which is better than either. Every tenth document is held out, and all choices are made by
ranking these; no evaluation collection is read.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoTokenizer

from hybrid.encoders.builtin import MINILM_SHA256
from hybrid.encoders.from_dense import DOCUMENT_TERMS, MAX_LENGTH, QUERY_TERMS
from hybrid.encoders.models import model_folder
from hybrid.encoders.pooling import multiplies_bfloat16
from hybrid.training.head import Stage, shift_bias, starting_point, train_stage
from hybrid.training.held_out import HeldOut
from hybrid.training.pairs import Drawn, Source, documents_of, draw_pairs
from hybrid.training.prepare import Texts, prepare
from hybrid.training.states import Trained
from hybrid.training.teaching import Weights, idf, teach

PACKAGES = ("torch", "transformers", "sentence-transformers", "numpy")
JUDGED = ("splade", "splade + dense", "splade-doc", "splade-doc + dense")
"""What a choice is made by: the mean over these of the mean over the sources."""
CONFIGURED = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Backbone:
    """The dense encoder that is trained from."""

    bert: Any
    tokenizer: Any


def backbone(folder: Path) -> Backbone:
    """Return the dense encoder of ``folder``, without dropout."""
    bert = AutoModel.from_pretrained(str(folder), attn_implementation="sdpa")
    for module in bert.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return Backbone(bert, AutoTokenizer.from_pretrained(str(folder)))


def draw(pairs: Path, config: dict[str, Any]) -> Drawn:
    """Return the training pairs and the held-out ones."""
    held = config["held_out"]
    return draw_pairs(
        pairs,
        [Source(**source) for source in config["sources"]],
        seed=config["seed"],
        held_out_share=held["share"],
        held_out_queries=held["queries"],
        held_out_documents=held["documents"],
        repeats=config["repeats"],
    )


def document_frequency(pairs: Path, size: int, tokenizer: Any, config: dict[str, Any]) -> Any:
    """Return int64 (vocabulary + 1,): documents with each term, then documents in all.

    All documents of the files count, not only those that are trained on.
    """
    names = dict.fromkeys(source["name"] for source in config["sources"])
    frequency = np.zeros(size + 1, dtype=np.int64)
    texts = list(documents_of(pairs, names, config["idf_documents"]))
    for start in range(0, len(texts), 4096):
        chunk = tokenizer(texts[start : start + 4096], truncation=True, max_length=512)
        terms = [np.unique(ids) for ids in chunk["input_ids"]]
        frequency[:-1] += np.bincount(np.concatenate(terms), minlength=size)
    frequency[-1] = len(texts)
    return frequency


def prepared(drawn: Drawn, base: Backbone, work: Path, config: dict[str, Any]) -> dict[str, Texts]:
    """Return the states of all texts: queries and documents, of training and held out."""
    held = [pair for pairs in drawn.held_out.values() for pair in pairs]
    told = dict.fromkeys([*(text for _, text in held), *drawn.distractors])
    low = config["bfloat16"] and multiplies_bfloat16()
    wanted = {
        "held_out_queries": (dict.fromkeys(query for query, _ in held), None),
        "held_out_documents": (told, None),
        "queries": (dict.fromkeys(query for query, _ in drawn.train), "query"),
        "documents": (dict.fromkeys(text for _, text in drawn.train), "document"),
    }
    found = {}
    for name, (texts, kind) in wanted.items():
        settings = config["held_out"] if kind is None else config
        prefix = "" if kind is None else f"{kind}_"
        found[name] = prepare(
            list(texts),
            base.bert,
            base.tokenizer,
            work / name,
            tokens=settings[f"{prefix}tokens"],
            candidates=settings[f"{prefix}candidates"],
            before=bool(config["layers"]),
            bfloat16=low and kind is not None,
            workers=config["threads"],
        )
    return found


class Log:
    """Lines of JSON, on stdout and in a file that an interrupted run goes on with."""

    def __init__(self, path: Path) -> None:
        self._path, self._start = path, time.monotonic()

    def __call__(self, event: str, figures: Mapping[str, Any]) -> None:
        """Write one line."""
        row = {"event": event, "seconds": round(time.monotonic() - self._start)} | dict(figures)
        line = json.dumps(row, default=float)
        print(line, flush=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def rounded(figures: Any) -> Any:
    """Return nested figures with four decimals."""
    if isinstance(figures, Mapping):
        return {name: rounded(value) for name, value in figures.items()}
    return round(figures, 4) if isinstance(figures, float) else figures


def judged(figures: Mapping[str, Any]) -> float:
    """Return the one figure that choices are made by."""
    return float(np.mean([figures[name]["mean"] for name in JUDGED]))


def tensors_of(trained: Trained, last_layer: int) -> dict[str, torch.Tensor]:
    """Return what is shipped, float16, by name; ``last_layer`` is the backbone's, from 0."""
    tensors = {f"head.{k}": v for k, v in trained.head.state_dict().items() if k != "decoder"}
    for number, layer in enumerate(reversed(trained.layers)):
        tensors |= {f"layer.{last_layer - number}.{k}": v for k, v in layer.state_dict().items()}
    tensors["static.weight"] = trained.free.clamp(min=0)
    return {name: value.detach().half().contiguous() for name, value in tensors.items()}


def load_weights(path: Path, trained: Trained) -> Trained:
    """Return ``trained`` with the head and the looked-up weights of a shipped file."""
    tensors = {name: value.float() for name, value in load_file(str(path)).items()}
    head = {k.removeprefix("head."): v for k, v in tensors.items() if k.startswith("head.")}
    trained.head.load_state_dict(head | {"decoder": trained.head.decoder})
    return Trained(trained.head, tensors["static.weight"], trained.layers)


def release(
    trained: Trained, held: HeldOut, base: Backbone, folder: Path, config: dict[str, Any], log: Log
) -> None:
    """Choose the density by the held-out pairs, and write the two files that the package ships."""
    best, shifted = (-1.0, 0.0), 0.0
    for shift in config["released_shifts"]:
        shift_bias(trained.head, shift - shifted)
        shifted = shift
        figures = held.measure(trained, base.tokenizer)
        log("shift", {"shift": shift, "judged": judged(figures)} | rounded(figures))
        best = max(best, (round(judged(figures), 4), shift))
    shift_bias(trained.head, best[1] - shifted)
    full = held.measure(trained, base.tokenizer)
    folder.mkdir(exist_ok=True)
    path = folder / "splade.safetensors"
    save_file(tensors_of(trained, len(base.bert.encoder.layer) - 1), str(path))
    half = load_weights(path, trained)
    figures = held.measure(half, base.tokenizer)
    names = [name for name in full if isinstance(full[name], dict)]
    lost = {name: full[name]["mean"] - figures[name]["mean"] for name in names}
    log("float16", {"lost": {name: round(value, 6) for name, value in lost.items()}})
    log("released", {"shift": best[1], "judged": judged(figures)} | rounded(figures))
    record = {
        "base": "sentence-transformers/all-MiniLM-L6-v2",
        "base_sha256": MINILM_SHA256,
        "document_terms": DOCUMENT_TERMS,
        "query_terms": QUERY_TERMS,
        "max_length": MAX_LENGTH,
        "precision": "float16",
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "shift": best[1],
        "config_sha256": hashlib.sha256(json.dumps(config).encode()).hexdigest(),
        "versions": {name: version(name) for name in PACKAGES},
        "held_out": rounded({name: figures[name]["mean"] for name in names}),
    }
    (folder / "splade.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main(pairs: Path, work: Path, config: dict[str, Any], *, prepare_only: bool = False) -> None:
    """Run what is left of the pipeline; see the text at the top."""
    torch.set_num_threads(config["threads"])
    work.mkdir(parents=True, exist_ok=True)
    log = Log(work / "train_builtin.log")
    base = backbone(model_folder("builtin:minilm").path)
    drawn = draw(pairs, config)
    counted = work / "frequency.npy"
    if not counted.is_file():
        size = len(base.tokenizer)
        np.save(counted, document_frequency(pairs, size, base.tokenizer, config))
    frequency = np.load(counted)
    rarity = idf(frequency[:-1], int(frequency[-1]), config["idf_largest"])
    texts = prepared(drawn, base, work, config)
    described = {name: [len(found.texts), len(found.ids)] for name, found in texts.items()}
    log("texts and tokens", described | {"pairs": len(drawn.train), "idf": int(frequency[-1])})
    if prepare_only:
        return
    weights = Weights(**config["teacher"])
    asked, told = texts["held_out_queries"], texts["held_out_documents"]
    held = HeldOut.of(drawn.held_out, asked, told, rarity, weights)
    log("baselines", rounded(held.baselines()))
    taught = teach(
        texts["queries"],
        texts["documents"],
        drawn.train,
        rarity,
        weights,
        negatives=config["mined"],
    )
    rows = np.flatnonzero(taught.rank <= config["deepest_rank"])
    log("teacher", {"pairs": len(rows), "found first": float((taught.rank == 1).mean())})
    stages = [Stage(**stage) for stage in config["stages"]]
    trained = starting_point(base.bert, base.tokenizer, rarity, config["start"], config["layers"])

    def measure(now: Trained) -> Mapping[str, Any]:
        figures = held.measure(now, base.tokenizer)
        return rounded({"judged": judged(figures)} | figures)

    log("start", measure(trained))
    for stage in stages:
        torch.manual_seed(stage.seed)
        log(f"stage {stage.name}", asdict(stage))
        trained = train_stage(
            taught,
            rows,
            stage,
            trained,
            base.tokenizer,
            work / stage.name,
            checkpoint_steps=config["checkpoint_steps"],
            logging_steps=config["logging_steps"],
            report=lambda step, figures: log(f"step {step}", figures),
            measure=measure,
        )
        log("end", measure(trained))
    release(trained, held, base, work / "release", config, log)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("pairs", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--prepare", action="store_true", help="stop before training")
    given = parser.parse_args()
    main(given.pairs, given.work, CONFIGURED, prepare_only=given.prepare)
