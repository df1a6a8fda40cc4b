"""The report of a sweep: complete, self-contained, small, and drawn by a real browser where there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from metasearch.core.config import Config
from metasearch.core.event import Action, Fact, Failed, Judged, Opened, Proposed, Reported, TrialId
from metasearch.core.history import History, Trial
from metasearch.report import figures, spaces
from metasearch.report.page import page
from metasearch.search.asha import Asha
from metasearch.search.fifo import Fifo
from metasearch.search.random import Random
from metasearch.testing.contract import make_sweep, run_sweep
from metasearch.testing.curves import BowlCurves, Breaking, Diverging
from metasearch.testing.spaces import CONDITIONAL

BROWSER = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
MISHAPS = Breaking(Diverging(BowlCurves(noise=0.02), 0.05), 0.05)


class Reader(HTMLParser):
    """What a page refers to: links and sources, ids, and how many pictures it has places for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.ids: set[str] = set()
        self.pictures = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.references += [value for name in ("href", "src") if (value := named.get(name))]
        self.ids |= {named["id"]} if named.get("id") else set()
        self.pictures += named.get("class") == "picture"


@pytest.fixture(scope="module")
def facts() -> list[Fact]:
    """A thousand trials, some of which diverge, fail or are stopped."""
    return run_sweep(make_sweep(CONDITIONAL, trials=1000, horizon=100_000), Random(), Asha(), MISHAPS, workers=6)


@pytest.fixture(scope="module")
def report(facts: list[Fact]) -> str:
    return page(facts, learned=["history has a say of 0.5"])


def drawn(text: str) -> list[figures.Figure]:
    found = re.search(r'<script id="figures" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    listed: list[figures.Figure] = json.loads(found[1])
    return listed


def test_a_thousand_trials_fit_into_five_megabytes_that_need_nothing_else(report: str) -> None:
    assert len(report.encode()) <= 5_000_000
    found = Reader(report)
    assert all(reference.startswith(("#", "data:")) for reference in found.references)
    assert {reference[1:] for reference in found.references if reference.startswith("#")} <= found.ids
    sections = {"summary", "best-so-far", "curves", "decisions", "strategies", "importance", "slices", "parallel-coordinates"}
    assert {*sections, "timeline", "failures", "trials"} <= found.ids
    assert found.pictures == len(drawn(report))
    assert "history has a say of 0.5" in report and "the virtual worker died" in report


def test_the_best_so_far_falls_to_the_best_of_the_sweep(facts: list[Fact]) -> None:
    history = History.fold(facts)
    for picture in figures.best_so_far(facts, history):
        (trace,) = picture["data"]
        assert trace["x"] == sorted(trace["x"]) and trace["y"] == sorted(trace["y"], reverse=True)
        assert trace["y"][-1] <= history.best_loss * (1 + 1e-5)
    by_steps, _ = figures.best_so_far(facts, history)
    assert by_steps["data"][0]["x"][-1] == pytest.approx(history.steps_spent, rel=1e-5)


def test_no_two_legs_share_a_slot_and_there_are_no_more_slots_than_workers(facts: list[Fact]) -> None:
    legs = figures.legs(facts)
    chosen = figures.slots(legs)
    assert len(legs) == sum(trial.leg + 1 for trial in History.fold(facts))
    assert set(chosen) == set(range(6))
    for slot in range(6):
        own = [leg for leg, at in zip(legs, chosen, strict=True) if at == slot]
        assert all(before.end <= after.begin for before, after in pairwise(own))


def test_importance_finds_the_parameter_that_matters_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    """Whoever has the lower learning rate wins; nothing else counts."""
    proposed = History.fold(run_sweep(make_sweep(CONDITIONAL, trials=120, horizon=10, reports=1), Random(), Fifo(), BowlCurves()))
    facts: list[Fact] = [Opened(0.0, proposed.sweep.record())]
    for trial in proposed:
        facts += [Proposed(0.0, trial.number, trial.config, 0), Reported(1.0, trial.number, 0, 10, _rank(trial))]
        facts.append(Judged(1.0, trial.number, 10, Action.STOP))
    shares = spaces.importances(History.fold(facts))
    assert next(iter(shares)) == "lr"
    assert sum(shares.values()) == pytest.approx(1.0)
    assert capfd.readouterr().err == ""


def _rank(trial: Trial) -> float:
    return float(trial.config["lr"])


def test_a_sweep_that_has_hardly_begun_has_a_report_too() -> None:
    opened = Opened(0.0, make_sweep(CONDITIONAL).record())
    assert "no trial has a finite loss" in page([opened])
    begun = [opened, Proposed(1.0, TrialId(0), Config({"model": "gru"}), 0), Reported(2.0, TrialId(0), 0, 10, float("nan"))]
    assert Reader(page(begun)).pictures >= 3


def test_what_an_error_says_cannot_become_part_of_the_page() -> None:
    opened = Opened(0.0, make_sweep(CONDITIONAL).record())
    evil = "</script><script>alert(1)</script> {{plotly}}"
    config = Config({"model": evil})
    text = page([opened, Proposed(0.0, TrialId(0), config, 0, evil), Failed(1.0, TrialId(0), 0, evil, evil)])
    assert "<script>alert(1)" not in text and "{{plotly}}" in text


@pytest.mark.skipif(BROWSER is None, reason="needs a Chromium")
def test_a_browser_draws_every_picture_without_a_complaint(report: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report, encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--enable-unsafe-swiftshader", "--disable-dev-shm-usage", "--enable-logging=stderr"]
    offline = ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path / 'browser'}"]
    command = [str(BROWSER), *options, *offline, "--virtual-time-budget=60000", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert 'data-drawn="yes"' in done.stdout, done.stderr
    assert done.stdout.count("js-plotly-plot") >= Reader(report).pictures
    # A machine without a GPU says so for each picture that wants WebGL; that is no fault of the page.
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line and "WebGL" not in line]
    assert said == []
