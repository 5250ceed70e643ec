"""Kill, ENOSPC, EIO and power cuts at every operation on disk: the index is the old or the new."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.disk import Disk, Kind, cut_power
from tests.faults.scenarios import SCENARIOS, Scenario, copied, forked, prepared, states
from tests.faults.size import sized

pytestmark = [pytest.mark.faults, pytest.mark.usefixtures("one_thread")]
SEED = 20


def points(total: int) -> list[int]:
    """All operations, or an even share of them with the last ones, where the switch happens."""
    wanted = sized(3, 10, total)
    spread = {round(each * (total - 1) / max(1, wanted - 1)) for each in range(wanted)}
    return sorted(spread | set(range(max(0, total - sized(2, 8, 0)), total)))


def count(scenario: Scenario, base: Path, folder: Path) -> int:
    copied(base, folder)
    disk = Disk(folder)
    with disk.watch():
        scenario.run(folder / "idx")
    return len(disk.log)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.name)
@pytest.mark.parametrize("kind", ["kill", "enospc", "eio", "power"])
def test_the_index_is_the_old_or_the_new(
    scenario: Scenario,
    kind: str,
    tmp_path: Path,
    record_property: pytest.RecordProperty,
) -> None:
    base, before, after = prepared(scenario, tmp_path)
    total = count(scenario, base, tmp_path / "count")
    assert total > 20
    assert before != after or scenario.name == "compact"
    chance = random.Random(SEED)
    outcomes = {"old": 0, "new": 0}
    for at in points(total):
        root = tmp_path / "run"
        copied(base, root)
        disk = Disk(root, at=at, kind=_kind(kind))
        if kind == "power":
            disk.journal = tmp_path / f"journal-{at}"

        def strike(disk: Disk = disk, index: Path = root / "idx") -> None:
            with disk.watch():
                scenario.run(index)

        answer = forked(strike)
        where = f"{scenario.name}, {kind} at operation {at} of {total}: {answer}"
        if kind in ("kill", "power"):
            assert answer == "killed", where
        else:
            assert answer.startswith(("done", "StorageError: the disk ")), where
        if kind == "power" and disk.journal is not None:
            cut_power(disk.journal, lambda size: chance.randrange(size + 1))
        found = states(root / "idx")
        assert found in (before, after), where
        if answer == "done":
            assert found == after, where
        if "nothing was changed" in answer:
            assert found == before, where
        outcomes["new" if found == after and before != after else "old"] += 1
        # Whoever comes next finds nothing in the way, and completes the work.
        if found == before:
            scenario.run(root / "idx")
            assert states(root / "idx") == after, where
        leftovers = [path.name for path in root.rglob("*") if "unfinished" in path.name]
        assert leftovers == [], where
    record_property("points", len(points(total)))
    record_property("outcomes", outcomes)


def _kind(kind: str) -> Kind:
    kinds: dict[str, Kind] = {"kill": "kill", "power": "kill", "enospc": "enospc", "eio": "eio"}
    return kinds[kind]
