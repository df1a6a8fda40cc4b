"""docs/extending.md: every plug-in that it shows is written out, found by its name, and used."""

import inspect
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import pytest
import torch

from metasearch import catalog
from metasearch.core.errors import UserError
from metasearch.core.event import TrialId
from metasearch.core.protocols import Assignment, Searcher
from metasearch.core.rng import derive
from metasearch.core.sweep import Sweep
from metasearch.core.task import Task
from metasearch.corpora import as_task, load
from metasearch.store import Store
from metasearch.sweep.compose import language_model_space
from metasearch.sweep.simulation import replay
from metasearch.testing.contract import SearcherContract
from metasearch.testing.curves import bowl
from metasearch.testing.spaces import CONDITIONAL
from metasearch.training.runner import CorpusRunner
from tests.docs.reading import executed, named_blocks, page, shown_plugins
from tests.meta.archives import bowls
from tests.store.test_past import facts_of
from tests.store.test_views import write

SHOWN = named_blocks(page("docs/extending.md"))


@pytest.fixture(scope="module")
def text_file(surroundings: Path) -> Path:
    path = surroundings / "tiny.txt"
    path.write_text(inspect.getsource(inspect)[:40_000], encoding="utf-8")
    return path


def tiny_sweep(text_file: Path, section: dict[str, Any]) -> Sweep:
    small = {"width": 16, "depth": 1, "batch_size": 4, "context": 16, "schedule": "constant", "clipping": "norm"}
    space = language_model_space({**small, **section}, search_unlisted=False)
    return Sweep("tiny", as_task(load(str(text_file), "byte")), space, horizon=3000, reports=3)


def test_a_plug_in_of_every_promised_kind_is_shown() -> None:
    assert {Path(name).parent.name for name in shown_plugins()} == {"models", "optimizers", "corpora", "search", "meta"}
    assert set(SHOWN) - set(shown_plugins()) == {"tests/test_hill_climb.py", "simulate.py", "learn.py"}


@pytest.mark.parametrize("strategy", [{"model": "convolution"}, {"optimizer": "rmsprop"}], ids=str)
def test_the_shown_model_and_optimizer_learn_and_resume(text_file: Path, strategy: dict[str, str]) -> None:
    sweep = tiny_sweep(text_file, strategy)
    leg = Assignment(TrialId(0), 0, sweep.space.default(), seed=1)
    assert strategy.items() <= leg.config.items()
    whole, stopped, resumed = (CorpusRunner(sweep, leg) for _ in range(3))
    losses = [whole.advance().loss for _ in range(3)]
    assert losses[2] < losses[0] < 8.5, "it must learn, from about 8 bits per byte on"
    stopped.advance()
    resumed.restore(stopped.checkpoint())
    assert [resumed.advance().loss for _ in range(2)] == losses[1:]


def test_the_shown_model_sees_the_past_only_and_carries_it() -> None:
    module = catalog.load("models", "convolution")
    model = module.build(module.SPACE.complete({"width": 16, "depth": 2, "reach": 3}), 11).eval()
    tokens_BT = torch.arange(12).reshape(2, 6) % 11
    whole_BTV, _ = model(tokens_BT, model.initial_state(2))
    first_BTV, state = model(tokens_BT[:, :4], model.initial_state(2))
    rest_BTV, _ = model(tokens_BT[:, 4:], state)
    torch.testing.assert_close(torch.cat((first_BTV, rest_BTV), dim=1), whole_BTV)


def test_the_shown_plug_ins_take_part_in_sweeps_that_search_everything() -> None:
    whole = language_model_space({}, search_unlisted=True)
    options = {option for p in whole if p.name in ("model", "optimizer") for option in getattr(p.domain, "options", ())}
    assert {"convolution", "rmsprop"} <= options
    assert "reach" in whole.names


def test_the_shown_corpus_loads_and_names_its_faults(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.md").write_text(f"# Note {number}\n" + "Some text to learn from.\n" * 200)
    kinds = catalog.corpus_kinds()
    corpus = load(f"notes:{tmp_path}", kinds=kinds)
    assert bytes(corpus.train[:8].tolist()) == b"# Note 0"
    assert corpus.source == {"source": f"notes:{tmp_path}"}
    with pytest.raises(UserError, match="there are no Markdown files under"):
        load(f"notes:{tmp_path / 'none'}", kinds=kinds)


def test_the_shown_simulation_climbs_to_a_good_config(capsys: pytest.CaptureFixture[str]) -> None:
    history = executed(SHOWN["simulate.py"], "simulate.py")["engine"].history
    assert len(history) == 60
    assert {trial.origin for trial in history} == {"hill_climb"}
    near, drawn = (
        [bowl(history.sweep.space, trial.config) for trial in history if trial.reason.startswith(reason)]
        for reason in ("near trial", "start-up")
    )
    assert fmean(near) < fmean(drawn) / 2, "what it proposes near the best must be better than what it draws"
    assert str(history.best_loss) in capsys.readouterr().out


def test_the_shown_test_is_the_contract() -> None:
    shown = executed(SHOWN["tests/test_hill_climb.py"], "test_hill_climb.py")["TestHillClimb"]
    assert issubclass(shown, SearcherContract)


class TestShownSearcher(SearcherContract):
    @pytest.fixture
    def searcher(self) -> Searcher:
        return catalog.build_searcher("hill_climb")


class TestShownLearnedSearcherWithoutHistory(SearcherContract):
    @pytest.fixture
    def searcher(self) -> Searcher:
        meta = catalog.load_meta("past_best")
        return cast(Searcher, meta.build(meta.init(derive(0))))


class TestShownLearnedSearcherWithHistory(SearcherContract):
    """The past knows configs of other spaces than those of the contract."""

    @pytest.fixture
    def searcher(self) -> Searcher:
        meta = catalog.load_meta("past_best")
        return cast(Searcher, meta.build(meta.learn(meta.init(derive(0)), bowls(CONDITIONAL), derive(0))))


def test_the_shown_learned_algorithm_learns_from_a_store_and_can_be_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("./store")
    for name in ("old", "older"):
        write(store, name, facts_of(name, task=Task(name, source={"corpus": name}), trials=8))
    learned = executed(SHOWN["learn.py"], "learn.py")["searcher"]
    assert list(learned.configs) == [store.history(name).best.config for name in ("old", "older")]
    found = replay("./store:old", searcher="past_best", sources=["./store:*"], budget=3.0)
    assert (found.searcher, found.scheduler, found.learned, found.sources) == ("past_best", "asha", True, ["./store:older"])
