"""Bits flipped, files cut and files exchanged: each is detected, or changes no answer."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from hybrid.errors import IndexFormatError
from hybrid.index.storage.generation import open_generation
from tests.faults.scenarios import SCENARIOS, prepared, state
from tests.faults.size import sized

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("one_thread")]
TRIALS = sized(400, 6000, 12000)


def flip(chance: random.Random, path: Path, others: list[Path]) -> str:
    data = bytearray(path.read_bytes())
    if not data:
        return ""
    position, bit = chance.randrange(len(data)), chance.randrange(8)
    data[position] ^= 1 << bit
    path.write_bytes(data)
    return f"bit {bit} of byte {position} of {path}"


def cut(chance: random.Random, path: Path, others: list[Path]) -> str:
    data = path.read_bytes()
    if not data:
        return ""
    kept = chance.randrange(len(data))
    path.write_bytes(data[:kept])
    return f"{path} cut from {len(data)} to {kept} bytes"


def lengthen(chance: random.Random, path: Path, others: list[Path]) -> str:
    path.write_bytes(path.read_bytes() + bytes(chance.randrange(256) for _ in range(3)))
    return f"{path} longer by 3 bytes"


def exchange(chance: random.Random, path: Path, others: list[Path]) -> str:
    other = chance.choice(others)
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)
    return f"{path} and {other} exchanged" if one != two else ""


def lose(chance: random.Random, path: Path, others: list[Path]) -> str:
    path.unlink()
    return f"{path} lost"


DAMAGES: list[Callable[[random.Random, Path, list[Path]], str]] = [flip] * 16
DAMAGES += [cut, cut, lengthen, exchange, exchange, lose]


def test_damage_is_detected_or_harmless(
    tmp_path: Path, record_property: pytest.RecordProperty
) -> None:
    scenario = next(each for each in SCENARIOS if each.name == "tune")
    prepared(scenario, tmp_path)
    index = tmp_path / "done" / "idx"
    whole = state(index)
    files = {path: path.read_bytes() for path in sorted(index.rglob("*")) if path.is_file()}
    stamps = {path: path.stat().st_mtime_ns for path in files}
    with open_generation(index) as generation:
        current = [path for path in files if generation.directory in path.parents]
    current.append(index / "CURRENT")
    chance = random.Random(5)
    counts = {"detected": 0, "harmless": 0}
    for trial in range(TRIALS):
        what = chance.choice(DAMAGES)(chance, chance.choice(current), current)
        try:
            found = state(index)
        except IndexFormatError:
            counts["detected"] += 1
        else:
            assert found == whole, f"a wrong answer after trial {trial}: {what}"
            counts["harmless"] += 1
        for path, data in files.items():
            if not path.exists() or path.stat().st_mtime_ns != stamps[path]:
                path.write_bytes(data)
                stamps[path] = path.stat().st_mtime_ns
    assert state(index) == whole
    record_property("trials", counts)
    assert counts["harmless"] < TRIALS / 20  # files of the same bytes exchanged, empty ones
