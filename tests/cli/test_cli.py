"""The command line as a user runs it, on one small real sweep of real models on real text."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.cli.place import SWEEP, Place, make_place

pytestmark = [pytest.mark.xdist_group("cli"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, running_cluster: str) -> Place:
    """With one finished sweep, ``small``; later ones run on a cluster that is there."""
    place = make_place(tmp_path_factory.mktemp("cli"))
    output = place.run("launch", place.write("small"), "--cpus", "2")
    assert "winner: trial" in output
    return Place(place.folder, running_cluster)


@pytest.fixture()
def empty(tmp_path: Path) -> Place:
    return make_place(tmp_path)


@pytest.fixture()
def quick(tmp_path: Path, running_cluster: str) -> Place:
    """An empty place whose sweeps need not start a cluster."""
    return make_place(tmp_path, running_cluster)


def test_the_module_is_the_command_and_tells_its_version(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "metasearch", "--version"]
    told = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert told.stdout.strip() == f"metasearch {version('metasearch')}"


def test_the_winner_of_a_launch_is_what_show_and_best_say(place: Place) -> None:
    best = place.json("best")[0]
    shown = place.json("show", f"small/{best['trial']}")
    losses = [trial["loss"] for trial in place.json("query", "select loss from trials where loss is not null")]
    assert len(losses) == 4
    assert shown["loss"] == best["loss"] == min(losses) == place.json("status")["best"]["loss"]
    assert shown["loss"] == min(point["val_bpb"] for point in shown["curve"])


def test_a_trial_is_shown_with_its_config_curve_and_story(place: Place) -> None:
    text = place.run("show", "0")
    assert "proposed by random" in text
    assert "width: 32" in text
    assert "train_loss" in text


def test_list_and_status_agree_about_a_finished_sweep(place: Place) -> None:
    assert [row["sweep"] for row in place.json("list")] == ["small"]
    status = place.json("status", "small")
    assert status["running"] is False
    assert sum(status["states"].values()) == 4
    assert "ended: all 4 trials ended" in place.run("status", "small")


def test_best_by_strategy_counts_trials(place: Place) -> None:
    rows = place.json("best", "--by", "strategy")
    assert sum(row["trials"] for row in rows) == 4
    assert [row["loss"] for row in rows] == sorted(row["loss"] for row in rows)


def test_best_at_fewer_tokens_sees_only_the_beginning(place: Place) -> None:
    at_start, at_end = (place.json("best", "--at", str(tokens))[0]["loss"] for tokens in (2000, 8000))
    assert at_start > at_end


def test_the_query_of_the_readme_works_and_csv_has_a_header(place: Place) -> None:
    sql = "select strategy, min(val_bpb) from trials group by 1 order by 2"
    assert place.json("query", sql)
    assert place.run("query", sql, "--format", "csv").startswith("strategy,min(val_bpb)\n")


def test_every_decision_of_the_sweep_passes_the_audit(place: Place) -> None:
    assert "0 decisions that would not be made again" in place.run("audit", "small")


def test_launching_the_same_name_again_is_refused_with_the_remedy(place: Place) -> None:
    assert "metasearch resume small" in place.run("launch", "small.yaml", status=2)


def test_resuming_a_finished_sweep_runs_nothing(place: Place) -> None:
    assert "nothing left to do" in place.run("resume", "small")
    assert place.json("status", "small")["trials"] == 4


def test_resuming_with_another_question_lists_all_differences(place: Place) -> None:
    other = place.write("other", name="small", seed=8, trial={"tokens": "9k", "reports": 4})
    message = place.run("resume", "small", "--file", other, status=2)
    assert "seed: launched with 7, now 8" in message
    assert "trial.tokens: launched with 8000, now 9000" in message


def test_a_sweep_can_be_given_more_trials(quick: Place) -> None:
    quick.run("launch", quick.write("more", budget={"trials": 2}), "-q")
    assert quick.json("resume", "more", "--trials", "+1", "-q")["trials"] == 3
    curves = quick.json("query", "select trial, count(*) as points, count(distinct step) as steps from curves group by 1")
    assert all(row["points"] == row["steps"] for row in curves)


def test_stop_ends_a_running_sweep_from_another_terminal(quick: Place) -> None:
    sweep = quick.write("long", budget={"trials": 500}, trial={"tokens": "1M", "reports": 400}, search={"scheduler": "fifo"})
    driver = quick.start("launch", sweep)
    driver.until("best: val_bpb")
    assert quick.json("status", "long")["running"] is True
    page, watcher = quick.folder / "live.html", quick.start("watch", "long", "--html", "live.html", "--every", "1")
    while not page.exists():
        assert watcher.poll() is None and driver.poll() is None
        time.sleep(0.1)
    assert 'http-equiv="refresh" content="1"' in page.read_text()
    assert "Asked long to stop" in quick.run("stop", "long")
    output, _ = driver.communicate(timeout=60)
    assert "stopped on request" in output
    assert driver.poll() == 0
    shown, _ = watcher.communicate(timeout=60)
    assert watcher.poll() == 0 and "stopped on request" in page.read_text() and "http-equiv" not in page.read_text(), shown
    assert "is not running" in quick.run("stop", "long")


def test_ctrl_c_ends_a_sweep_in_order_and_resume_finishes_it(empty: Place, running_cluster: str) -> None:
    sweep = empty.write("cut", budget={"trials": 3}, trial={"tokens": "30k", "reports": 30}, search={"scheduler": "fifo"})
    driver = empty.start("launch", sweep, "--cpus", "2")
    driver.until("best: val_bpb")
    driver.send_signal(signal.SIGINT)
    output, _ = driver.communicate(timeout=60)
    assert "interrupted by SIGINT" in output
    assert driver.poll() == 130
    resumed = Place(empty.folder, running_cluster).json("resume", "cut", "-q")
    assert resumed["states"] == {"completed": 3}
    curves = empty.json("query", "select trial, count(*) as points, count(distinct step) as steps from curves group by 1")
    assert [(row["points"], row["steps"]) for row in curves] == [(30, 30)] * 3


FRAGILE = """
import os, signal
from pathlib import Path
from metasearch.models import lstm

SPACE = lstm.SPACE

def build(config, vocab_size):
    once = Path(__file__).with_suffix(".died")
    if not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return lstm.build(config, vocab_size)
"""


def test_a_killed_worker_costs_no_trial_and_leaves_the_json_clean(quick: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = quick.folder / "plugins" / "models" / "fragile.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(FRAGILE)
    monkeypatch.setenv("METASEARCH_PLUGINS", str(quick.folder / "plugins"))
    sweep = quick.write("fragile", space={**SWEEP["space"], "model": "fragile"}, budget={"trials": 2}, search={"scheduler": "fifo"})
    answer = quick.json("launch", sweep, "-q")
    assert answer["states"] == {"completed": 2}
    assert answer["best"]["config"]["model"] == "fragile"
    (told,) = answer["errors"]
    assert re.fullmatch(r"trial [01]: the worker process died \(killed, out of memory, or its node was lost\)", told)


def test_watching_a_finished_sweep_shows_it_once(place: Place) -> None:
    assert "best" in place.run("watch", "small")


def test_a_dry_run_shows_the_plan_and_runs_nothing(empty: Place) -> None:
    output = empty.run("launch", empty.write("small"), "--dry-run")
    assert "first configs" in output
    assert "Nothing was run." in output
    assert not (empty.folder / "store").exists()


def test_validate_shows_all_faults_and_exits_with_2(empty: Place) -> None:
    broken = empty.write(
        "broken", task={"corpus": "none.txt"}, search={"searcher": "tpee", "scheduler": "ahsa"}, space={"modle": "lstm"}
    )
    message = empty.run("validate", broken, status=2)
    for part in ("none.txt", 'Did you mean "tpe"?', 'Did you mean "asha"?', "modle"):
        assert part in message


def test_a_store_that_is_not_there_is_one_clear_message(empty: Place) -> None:
    for command in (["status"], ["list"], ["best"], ["query", "select 1"], ["show", "0"], ["stop", "x"]):
        assert "There is no store at" in empty.run(*command, status=2)


def test_an_unknown_sweep_is_named_with_the_nearest(place: Place) -> None:
    assert 'Did you mean "small"?' in place.run("status", "smal", status=2)


def test_doctor_finds_this_machine_fit(empty: Place) -> None:
    checks = {check["name"]: check["ok"] for check in empty.json("doctor")}
    assert checks == dict.fromkeys(("python", "packages", "torch", "threads", "ports", "store", "ray"), True)


def test_the_schema_is_published(empty: Place) -> None:
    kinds = json.loads(empty.run("schema"))["$defs"]
    assert "tokens" in kinds["BudgetSection"]["properties"]
    assert "train" in kinds["OwnSweep"]["properties"]


def test_importing_the_package_loads_neither_torch_nor_ray() -> None:
    code = "import metasearch, sys; metasearch.Sweep; metasearch.Store; print([m for m in ('torch', 'ray') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_winner_is_handed_over_reproduced_and_trained_for_longer(place: Place, tmp_path: Path) -> None:
    made = place.json("export", "small", "--out", str(tmp_path / "model"))
    assert made["trial"] == place.json("status", "small")["best"]["trial"]
    assert place.json("generate", str(tmp_path / "model"), "--prompt", "def ", "--tokens", "20")["text"]
    assert "the same to the last bit" in place.run("reproduce", "small")
    again = place.json("retrain", "small", "--tokens", "10k", "--name", "longer")
    assert (again["states"], place.json("show", "longer/0")["curve"][-1]["step"]) == ({"completed": 1}, 10_000)


def test_a_trial_that_is_not_there_is_told_with_what_is(place: Place, tmp_path: Path) -> None:
    assert 'Did you mean "small"?' in place.run("export", "smal", "--out", str(tmp_path / "model"), status=2)
    assert "there is no trial 99" in place.run("reproduce", "small/99", status=2)
    assert 'found "many"' in place.run("retrain", "small", "--tokens", "many", status=2)


def test_a_report_is_one_file_and_why_tells_a_story(place: Place, tmp_path: Path) -> None:
    written = place.json("report", "small", "--html", str(tmp_path / "small.html"))
    assert written["bytes"] == (tmp_path / "small.html").stat().st_size < 5_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["small.html"]
    story = [event["what"] for event in place.json("why", "small/0")["story"]]
    assert story[0].startswith("proposed by random") and re.search("(first to get|that got) here", story[1])
    assert "Name another file" in place.run("report", "small", "--html", str(tmp_path / "no" / "x.html"), status=2)


def test_leaders_are_confirmed_once_and_asked_again_only_shown(place: Place) -> None:
    words = ("confirm", "small", "--top", "2", "--seeds", "2")
    found = place.json(*words)
    assert (found["sweep"], found["trials"]) == ("small-confirmed", 4)
    assert [len(one["trials"]) for one in found["standings"]] == [2, 2]
    shown = place.run(*words)
    assert "nothing left to do" in shown and f"noise between seeds {found['standings'][0]['noise']:.4f}" in shown
