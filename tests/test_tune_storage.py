"""The storage of trials: whole trials, one search at a time, and kills that leave no trace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from hybrid.errors import IndexLockedError
from hybrid.tune import TuneOptions, tune
from hybrid.tune.optuna_search import hold_storage
from tests.made_pools import planted

SEARCH = """
import sys
from pathlib import Path
from hybrid.tune import TuneOptions, tune
from tests.made_pools import planted
if __name__ == "__main__":
    options = TuneOptions(trials=150, folds=2, repeats=2, curve=False, jobs=2,
                          storage=Path(sys.argv[1]))
    tune(*planted(12, queries=20), options)
"""


def kept_trials(path: Path) -> list[optuna.trial.FrozenTrial]:
    """Return every trial of every study of a storage."""
    if path.suffix == ".db":
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    else:
        backend = optuna.storages.journal.JournalFileBackend(str(path))
        storage = optuna.storages.JournalStorage(backend)
    studies = [study._study_id for study in storage.get_all_studies()]
    return [trial for study in studies for trial in storage.get_all_trials(study)]


@pytest.mark.parametrize("suffix", [".journal", ".db"])
def test_a_storage_holds_finished_trials_alone(tmp_path: Path, suffix: str) -> None:
    made = planted(12, queries=20)
    options = TuneOptions(trials=14, folds=2, repeats=1, curve=False)
    stored = replace(options, storage=tmp_path / f"kept{suffix}")
    running = 0

    def look(_: int) -> None:
        nonlocal running
        running += any(not trial.state.is_finished() for trial in kept_trials(stored.storage))

    found = tune(*made, stored, progress=look)
    assert json.dumps(found.to_dict()) == json.dumps(tune(*made, options).to_dict())
    assert running == 0
    assert len(kept_trials(stored.storage)) == options.searches * options.trials
    assert [path.name for path in tmp_path.iterdir()] == [f"kept{suffix}"]


def test_a_killed_search_goes_on_without_noise_and_with_no_trial_more(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = TuneOptions(trials=30, folds=2, repeats=1, curve=False)
    stored = replace(options, storage=tmp_path / "kept.journal")
    made = planted(12, queries=20)
    tune(*made, stored)
    whole = stored.storage.read_bytes().splitlines(keepends=True)
    # Killed in the middle of a line, while it held the lock of Optuna.
    stored.storage.write_bytes(b"".join(whole[:20]) + whole[20][:30])
    (tmp_path / "kept.journal.lock").symlink_to(stored.storage)
    capfd.readouterr()
    started = time.monotonic()
    found = tune(*made, stored)
    assert time.monotonic() - started < 10
    assert capfd.readouterr() == ("", "")
    assert json.dumps(found.to_dict()) == json.dumps(tune(*made, options).to_dict())
    assert len(kept_trials(stored.storage)) == options.searches * options.trials
    assert len(list(tmp_path.iterdir())) == 1


def test_a_second_search_is_refused_like_a_second_writer_of_an_index(tmp_path: Path) -> None:
    storage = tmp_path / "kept.journal"
    options = TuneOptions(trials=3, folds=2, repeats=1, storage=storage)
    with (
        hold_storage(storage),
        pytest.raises(IndexLockedError, match=rf"kept.journal is being .* process {os.getpid()}"),
    ):
        tune(*planted(12, queries=20), options)
    assert not storage.exists()
    tune(*planted(12, queries=20), options)


@pytest.mark.slow
def test_workers_end_with_a_search_that_is_killed(tmp_path: Path) -> None:
    storage = tmp_path / "kept.journal"
    search = subprocess.Popen([sys.executable, "-c", SEARCH, storage])
    # Half of the first search's trials, or some of the folds': the workers are at work then.
    for wanted in (75, 200):
        while not storage.exists() or storage.read_bytes().count(b"\n") < wanted:
            assert search.poll() is None
            time.sleep(0.05)
    search.send_signal(signal.SIGKILL)
    search.wait()
    time.sleep(0.5)
    left = storage.read_bytes()
    time.sleep(1)
    assert storage.read_bytes() == left
    whole = tmp_path / "whole.journal"
    for path in (storage, whole):
        subprocess.run([sys.executable, "-c", SEARCH, path], check=True)
    assert len(kept_trials(storage)) == len(kept_trials(whole))


def test_a_file_of_notes_is_not_cut(tmp_path: Path) -> None:
    storage = tmp_path / "notes.log"
    storage.write_text("first line\nand a second without its end")
    with hold_storage(storage):
        pass
    assert storage.read_text() == "first line\nand a second without its end"
