"""How long it takes to open results and to ask them, beside Optuna's storages and Ray's ResultGrid holding the same trials.

    python experiments/benchmarks/results.py [--trials 1000 10000] [--reports 5] [--json]

Each question begins with nothing but a path. The SQLite file and the journal are what ``metasearch to-optuna`` writes; the folder
of Ray Tune is what it leaves behind: its snapshot of the experiment, and a ``result.json`` for each trial.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from metasearch.core.event import Action, Closed, Fact, Judged, Opened, Proposed, Reported, TrialId
from metasearch.core.history import COMPLETED
from metasearch.core.rng import derive
from metasearch.core.sweep import Sweep
from metasearch.core.task import Task
from metasearch.store import Store
from metasearch.store.imports.to_optuna import export_study
from metasearch.testing.spaces import CONDITIONAL

os.environ["RAY_TRAIN_V2_ENABLED"] = "0"
NAME = "results"


def facts_of(trials: int, reports: int) -> Iterator[Fact]:
    yield Opened(0.0, Sweep(NAME, Task("benchmark"), CONDITIONAL, horizon=reports).record())
    rng = derive(0, NAME)
    for number in map(TrialId, range(trials)):
        yield Proposed(float(number), number, CONDITIONAL.sample(rng), number, "random")
        for step, loss in enumerate((5.0 + rng.standard_normal(reports)).tolist(), start=1):
            last = step == reports
            yield Reported(float(number), number, 0, step, loss, float(step), {"val_loss": loss, "lr": 1e-3})
            yield Judged(float(number), number, step, Action.STOP if last else Action.CONTINUE, COMPLETED if last else "")
    yield Closed(float(trials), "all trials ended")


def as_experiment(store: Store, folder: Path) -> None:
    """What Ray Tune would have left of these trials."""
    from ray.train._internal.storage import StorageContext
    from ray.tune import PlacementGroupFactory
    from ray.tune.experiment import Trial

    one_cpu = PlacementGroupFactory([{"CPU": 1.0}])
    states = []
    for ours in store.history(NAME):
        storage = StorageContext(str(folder), NAME, trial_dir_name=f"trial_{ours.number:05d}")
        trial = Trial("train", config=dict(ours.config), trial_id=f"{ours.number:05d}", storage=storage, stub=True)
        trial.placement_group_factory = one_cpu
        results = [_result(trial, step, loss) for step, loss in zip(ours.steps, ours.losses, strict=True)]
        for result in results:
            trial.update_last_result(result)
        trial.set_status(Trial.TERMINATED)
        place = folder / NAME / storage.trial_dir_name
        place.mkdir(parents=True)
        (place / "result.json").write_text("\n".join(map(json.dumps, results)) + "\n")
        states.append(trial.get_json_state())
    (folder / NAME / "experiment_state-2026-01-01_00-00-00.json").write_text(json.dumps({"trial_data": states}))


def _result(trial: object, step: int, loss: float) -> dict[str, object]:
    """A report as Ray Tune completes it."""
    about = {"trial_id": trial.trial_id, "config": trial.config, "hostname": "node", "node_ip": "10.0.0.1", "pid": 4242}  # type: ignore[attr-defined]
    seconds = {"time_this_iter_s": 1.0, "time_total_s": float(step), "time_since_restore": float(step), "timestamp": 1_700_000_000}
    counted = {"training_iteration": step, "iterations_since_restore": step, "date": "2026-01-01_00-00-00", "done": False}
    return {"loss": loss, "val_loss": loss, "lr": 1e-3, "checkpoint_dir_name": None, **counted, **seconds, **about}


def fastest(action: Callable[[], object], times: int = 3) -> float:
    """Other load only ever adds."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        taken.append(time.perf_counter() - started)
    return min(taken)


def measured(folder: Path, trials: int, reports: int) -> dict[str, dict[str, float]]:
    """Seconds by question and by who answers it."""
    from ray.tune import ExperimentAnalysis, ResultGrid

    store = Store(folder / "store")
    with store.open_log(NAME) as log:
        log.append(list(facts_of(trials, reports)))
    database, journal, grid = folder / "trials.db", folder / "trials.log", folder / "ray"
    for storage in (database, journal):
        export_study(store.history(NAME), str(storage))
    as_experiment(store, grid)

    def study(journaled: bool) -> optuna.Study:
        kept = JournalStorage(JournalFileBackend(str(journal))) if journaled else RDBStorage(f"sqlite:///{database}")
        return optuna.load_study(study_name=NAME, storage=kept)

    def results() -> ResultGrid:
        return ResultGrid(ExperimentAnalysis(str(grid / NAME)))

    first = fastest(lambda: Store(folder / "store").trials(), 1)
    answers: dict[str, dict[str, Callable[[], object]]] = {
        "open and list all trials": {
            "metasearch": lambda: Store(folder / "store").trials(),
            "Optuna SQLite": lambda: study(False).trials,
            "Optuna journal": lambda: study(True).trials,
            "Ray ResultGrid": results,
        },
        "open and find the best": {
            "metasearch": lambda: Store(folder / "store").best(top=1),
            "Optuna SQLite": lambda: study(False).best_trial,
            "Optuna journal": lambda: study(True).best_trial,
            "Ray ResultGrid": lambda: results().get_best_result("loss", "min"),
        },
        "open and make a frame of all trials": {
            "metasearch": lambda: Store(folder / "store").trials().to_pandas(),
            "Optuna SQLite": lambda: study(False).trials_dataframe(),
            "Optuna journal": lambda: study(True).trials_dataframe(),
            "Ray ResultGrid": lambda: results().get_dataframe(),
        },
    }
    best = store.best(top=1)["loss"][0].as_py()
    assert abs(results().get_dataframe("loss", "min")["loss"].min() - best) < 1e-12, "Ray holds the same trials"
    assert len(study(False).trials) == len(study(True).trials) == trials
    found = {question: {who: fastest(answer) for who, answer in by.items()} for question, by in answers.items()}
    return {"first question after the sweep has changed": {"metasearch": first}, **found}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--reports", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    found = {}
    for trials in asked.trials:
        with tempfile.TemporaryDirectory() as folder:
            found[trials] = measured(Path(folder), trials, asked.reports)
    if asked.json:
        print(json.dumps(found))
        return
    for trials, questions in found.items():
        print(f"{trials:,} trials with {asked.reports} reports each")
        for question, seconds in questions.items():
            ours = seconds["metasearch"]
            peers = ", ".join(
                f"{who} {taken:.3g} s ({taken / ours:.1f} ×)" for who, taken in seconds.items() if who != "metasearch"
            )
            print(f"  {question:<44} {ours:>7.3f} s   {peers}")


if __name__ == "__main__":
    main()
