"""Results of others as sweeps of the store: whole or not at all, from everything that records trials, and out to Optuna again."""

import hashlib
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pyarrow as pa
import pyarrow.parquet
import pytest
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from metasearch.core.errors import UserError
from metasearch.core.history import State
from metasearch.core.scales import Scale
from metasearch.store.archive import Store
from metasearch.store.imports.source import import_results
from metasearch.store.imports.to_optuna import export_study
from metasearch.store.past import scales_of

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


@pytest.fixture()
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def objective(trial: optuna.Trial) -> float:
    lr = trial.suggest_float("lr", 1e-5, 1e-1, log=True)
    model = trial.suggest_categorical("model", ["lstm", "gru", None])
    if model == "gru":
        trial.suggest_int("width", 16, 64)
    for step in range(3):
        trial.report(abs(math.log10(lr) + 3) + 1 / (step + 1), step)
        if trial.number == 2:
            raise optuna.TrialPruned
    if trial.number == 4:
        raise ValueError("broken")
    return abs(math.log10(lr) + 3)


def studied(folder: Path, kind: str, direction: str = "minimize") -> str:
    """The place of a storage with one study of six trials: one pruned, one failed."""
    place = folder / f"earlier.{kind}"
    storage = RDBStorage(f"sqlite:///{place}") if kind == "db" else JournalStorage(JournalFileBackend(str(place)))
    study = optuna.create_study(
        storage=storage, study_name="my study", sampler=optuna.samplers.RandomSampler(seed=1), direction=direction
    )
    study.optimize(objective, n_trials=6, catch=ValueError)
    if isinstance(storage, RDBStorage):
        storage.engine.dispose()
    return str(place)


def digest(path: str) -> str:
    return hashlib.blake2b(Path(path).read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", ["db", "log"])
def test_a_study_of_optuna_becomes_a_closed_sweep_and_its_storage_stays_as_it_was(kind: str, tmp_path: Path, store: Store) -> None:
    place = studied(tmp_path, kind)
    before = digest(place)
    found = import_results(place, store)
    assert digest(place) == before
    assert found.trials == {"my-study": 6} and found.left_out == {"my-study": []}
    history = store.history("my-study")
    assert history.closed == f"imported from study my study in {place}"
    states = [State.COMPLETED, State.COMPLETED, State.STOPPED, State.COMPLETED, State.FAILED, State.COMPLETED]
    assert [trial.state for trial in history] == states
    whole = history[0]
    assert whole.steps == [1, 2, 3], "steps that count from 0 count from 1"
    assert whole.losses[-1] == pytest.approx(abs(math.log10(float(whole.config["lr"])) + 3))
    assert whole.losses[0] == pytest.approx(whole.losses[-1] + 1)
    assert scales_of([history.sweep.space])["lr"] is Scale.LOG
    assert {trial.config["model"] for trial in history} <= {"lstm", "gru", "none"}
    assert all(("width" in trial.config) == (trial.config["model"] == "gru") for trial in history)


def test_a_maximised_study_keeps_its_winner(tmp_path: Path, store: Store) -> None:
    import_results(studied(tmp_path, "log", "maximize"), store, metric="score")
    (best,) = store.best(top=1).to_pylist()
    losses = [trial.best_loss for trial in store.history("my-study") if trial.state is not State.FAILED]
    assert best["loss"] == min(losses) < 0


def test_the_past_is_known_to_searches_that_learn(tmp_path: Path, store: Store) -> None:
    import_results(studied(tmp_path, "log"), store, task="toy", descriptor={"samples": 100})
    (task,) = store.archive()
    assert (task.name, task.descriptor, len(task.trials)) == ("toy", {"samples": 100.0}, 6)
    assert task.trials[0].code["lr"] == pytest.approx(math.log10(float(task.trials[0].config["lr"])))


def test_trials_that_cannot_be_imported_are_listed_and_nothing_is_written_unless_they_may_be_left_out(
    tmp_path: Path, store: Store
) -> None:
    place = studied(tmp_path, "log")
    storage = JournalStorage(JournalFileBackend(place))
    optuna.load_study(study_name="my study", storage=storage).ask()
    with pytest.raises(UserError, match=r"1 of 7 trials .* Nothing was written") as raised:
        import_results(place, store)
    assert raised.value.faults == ("trial 6: it is running",)
    assert not Path(store.url).exists()
    assert import_results(place, store, skip=True).left_out == {"my-study": ["trial 6: it is running"]}
    with pytest.raises(UserError, match="already has a sweep my-study"):
        import_results(place, store, skip=True)


def test_a_dry_run_writes_nothing(tmp_path: Path, store: Store) -> None:
    assert import_results(studied(tmp_path, "log"), store, dry_run=True).trials == {"my-study": 6}
    assert not Path(store.url).exists()


def test_a_file_that_is_no_optuna_storage_is_told_so_and_left_alone(tmp_path: Path, store: Store) -> None:
    import sqlite3

    other = tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("create table mine (x int)")
    connection.commit()
    connection.close()
    text = tmp_path / "notes.log"
    text.write_text("hello")
    before = digest(str(other))
    for path, message in (
        (other, "its tables: mine"),
        (text, "neither an SQLite file nor an Optuna journal"),
        (tmp_path / "x", "no Optuna storage"),
    ):
        with pytest.raises(UserError, match=message):
            import_results(str(path), store)
    assert digest(str(other)) == before


@pytest.mark.parametrize("kind", ["db", "log"])
def test_a_sweep_goes_to_optuna_and_comes_back_the_same(kind: str, tmp_path: Path, store: Store) -> None:
    import_results(studied(tmp_path, "log"), store)
    there = str(tmp_path / f"out.{kind}")
    assert export_study(store.history("my-study"), there, "copy") == 6
    with pytest.raises(UserError, match="already has a study copy"):
        export_study(store.history("my-study"), there, "copy")
    import_results(there, store, study="copy")
    mine, back = store.history("my-study"), store.history("copy")
    for one, other in zip(mine, back, strict=True):
        assert (one.config, one.steps, one.losses, one.state) == (other.config, other.steps, other.losses, other.state)


@pytest.mark.xdist_group("ray")
def test_an_experiment_of_ray_tune_is_imported_as_ray_wrote_it(tmp_path: Path, store: Store) -> None:
    script = f"""
from ray import tune
def train(config):
    for step in range(1, 4):
        if config["nested"]["x"] > 2:
            raise ValueError("broken")
        tune.report({{"mse": config["nested"]["x"] + 1 / step}})
space = {{"nested": {{"x": tune.grid_search([0, 1, 3])}}, "kind": "a"}}
tune.Tuner(train, param_space=space, run_config=tune.RunConfig(name="exp", storage_path={str(tmp_path)!r}, verbose=0)).fit()
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], cwd=tmp_path, capture_output=True, timeout=200, check=True)
    import_results(str(tmp_path / "exp"), store, metric="mse", unit="iterations")
    history = store.history("exp")
    rows = sorted((trial.config["nested.x"], trial.state, [round(x, 6) for x in trial.losses]) for trial in history)
    assert rows == [
        (0, State.COMPLETED, [1.0, 0.5, 0.333333]),
        (1, State.COMPLETED, [2.0, 1.5, 1.333333]),
        (3, State.FAILED, []),
    ]
    assert "broken" in history.trials[[trial.config["nested.x"] for trial in history].index(3)].errors[0]
    with pytest.raises(UserError, match=r'No trial in .* reported "msee".*Did you mean "mse"'):
        import_results(str(tmp_path / "exp"), store, metric="msee", name="again")


def test_a_folder_without_an_experiment_is_told_so(tmp_path: Path, store: Store) -> None:
    with pytest.raises(UserError, match="holds no Ray Tune experiment"):
        import_results(str(tmp_path), store, metric="x")


CURVES: dict[str, list[Any]] = {
    "run": ["a", "a", "b", "b", "c"],
    "epoch": [1, 2, 1, 2, 1],
    "hp_lr": [0.1, 0.1, 0.01, 0.01, 0.5],
    "hp_momentum": [None, None, 0.9, 0.9, None],
    "acc": [0.5, 0.7, 0.6, 0.8, float("nan")],
    "time": [1.0, 2.0, 1.5, 3.0, 1.0],
    "status": ["finished", "finished", "killed", "killed", "finished"],
}


def test_a_table_with_a_row_per_report_becomes_curves(tmp_path: Path, store: Store) -> None:
    pa.parquet.write_table(pa.table(CURVES), tmp_path / "runs.parquet")
    import_results(
        str(tmp_path / "runs.parquet"), store, metric="acc", mode="max", trial="run", step="epoch", seconds="time", state="status"
    )
    history = store.history("runs")
    assert [(trial.state, trial.steps, trial.seconds) for trial in history] == [
        (State.COMPLETED, [1, 2], 2.0),
        (State.STOPPED, [1, 2], 3.0),
        (State.DIVERGED, [1], 1.0),
    ]
    assert [dict(trial.config) for trial in history] == [{"lr": 0.1}, {"lr": 0.01, "momentum": 0.9}, {"lr": 0.5}]
    assert history.best is not None and (history.best.number, history.best_loss) == (1, -0.8)


def test_a_table_with_a_row_per_trial_needs_no_more_than_its_parameters_and_metric(tmp_path: Path, store: Store) -> None:
    (tmp_path / "runs.csv").write_text("lr,layers,note,loss\n0.1,2,x,3.5\n0.01,4,y,2.5\n")
    import_results(str(tmp_path / "runs.csv"), store, metric="loss", config=["lr", "layers"], task="toy")
    assert [(dict(t.config), t.losses, t.state) for t in store.history("runs")] == [
        ({"lr": 0.1, "layers": 2}, [3.5], State.COMPLETED),
        ({"lr": 0.01, "layers": 4}, [2.5], State.COMPLETED),
    ]


def test_the_runs_of_weights_and_biases_are_imported_with_their_states(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "wandb.csv"
    path.write_text(
        '"Name","State","Notes","User","Tags","Created","Runtime","Sweep","lr","model","_step","val_loss"\n'
        '"brave-sun-1","finished","-","me","","2024-05-01T10:00:00.000Z","120","","0.001","lstm","499","1.25"\n'
        '"calm-sea-2","crashed","-","me","","2024-05-01T11:00:00.000Z","30","","0.1","gru","99",""\n'
        '"dry-leaf-3","killed","-","me","","2024-05-01T12:00:00.000Z","60","","0.01","gru","249","1.5"\n'
    )
    with pytest.raises(UserError, match=r"name the parameters with --config A,B,…\. Columns: Notes, User, Tags, Sweep, lr, model"):
        import_results(str(path), store, metric="val_loss")
    import_results(str(path), store, metric="val_loss", config=["lr", "model"])
    assert [(t.reason, t.state, t.steps, t.losses, t.seconds) for t in store.history("wandb")] == [
        ("Name brave-sun-1", State.COMPLETED, [499], [1.25], 120.0),
        ("Name calm-sea-2", State.FAILED, [], [], 0.0),
        ("Name dry-leaf-3", State.STOPPED, [249], [1.5], 60.0),
    ]


def test_every_faulty_row_is_listed_with_its_reason(tmp_path: Path, store: Store) -> None:
    rows = ["a,0.1,1,0.5,finished", "a,0.2,2,0.5,finished", "b,0.1,1.5,0.5,finished", "c,0.1,1,,finished", "d,0.1,1,0.5,odd"]
    rows += ["e,0.1,3,0.5,finished", "e,0.1,3,0.4,finished", "f,,1,0.5,finished", "g,0.1,1,0.5,finished"]
    (tmp_path / "runs.csv").write_text("\n".join(["run,hp_lr,step,loss,state", *rows]) + "\n")
    how: dict[str, Any] = {"metric": "loss", "trial": "run", "step": "step", "state": "state"}
    with pytest.raises(UserError, match="6 of 7 trials") as raised:
        import_results(str(tmp_path / "runs.csv"), store, **how)
    expected = {
        "a": "different parameters",
        "b": "expected a whole number, found 1.5",
        "c": "no value of the metric",
        "d": "its state is 'odd'; expected one of completed",
        "e": "must be whole numbers from 0 that grow, found 3, 3",
        "f": "it has no parameters",
    }
    reasons = {reason.split(":")[0].removeprefix("run "): reason for reason in raised.value.faults}
    assert reasons.keys() == expected.keys()
    assert all(part in reasons[run] for run, part in expected.items())
    assert import_results(str(tmp_path / "runs.csv"), store, skip=True, **how).trials == {"runs": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": "los", "config": ["lr"]}, 'no column "los". Did you mean "loss"'),
        ({"metric": "loss", "config": ["lrr"]}, 'no column "lrr". Did you mean "lr"'),
        ({"metric": "loss"}, "name the parameters with --config"),
        ({"config": ["lr"]}, "--metric"),
        ({"metric": "loss", "study": "x"}, "--study means nothing"),
        ({"metric": "loss", "mode": "down"}, 'must be min or max, found "down"'),
    ],
)
def test_wrong_options_are_one_clear_message(options: dict[str, Any], message: str, tmp_path: Path, store: Store) -> None:
    (tmp_path / "runs.csv").write_text("lr,loss\n0.1,3.5\n")
    with pytest.raises(UserError) as raised:
        import_results(str(tmp_path / "runs.csv"), store, **options)
    assert message in str(raised.value)


def test_what_was_imported_is_told_by_the_command_as_json(tmp_path: Path, store: Store) -> None:
    from typer.testing import CliRunner

    from metasearch.cli.main import app

    (tmp_path / "runs.csv").write_text("hp_lr,loss\n0.1,3.5\n0.2,\n")
    call = ["import", str(tmp_path / "runs.csv"), "--metric", "loss", "--skip", "--store", store.url]
    assert "1 trials would become the sweep runs" in CliRunner().invoke(app, [*call, "--dry-run"]).stdout
    (told,) = json.loads(CliRunner().invoke(app, [*call, "--descriptor", "samples=5", "--json"]).stdout)
    assert (told["sweep"], told["trials"], told["left_out"]) == ("runs", 1, ["row 2: it has no value of the metric"])
    out = CliRunner().invoke(app, ["to-optuna", "runs", str(tmp_path / "o.log"), "--store", store.url, "--json"])
    assert json.loads(out.stdout)["trials"] == 1
    for command in (["audit", "runs"], ["ask", "runs"]):
        refused = CliRunner().invoke(app, [*command, "--store", store.url]).exception
        assert isinstance(refused, UserError) and "were imported" in refused.message
