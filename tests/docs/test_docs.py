"""What the documentation says is true: its examples run, its sweep files are valid, its tables follow from the code."""

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main
import yaml
from pydantic.fields import FieldInfo

import metasearch
from metasearch import catalog
from metasearch.cli.main import app
from metasearch.core.event import TrialId
from metasearch.core.protocols import Assignment
from metasearch.core.space import Space
from metasearch.core.sweep import Sweep
from metasearch.corpora import as_task, load
from metasearch.sweep.compose import language_model_space
from metasearch.sweep.file import BudgetSection, Section, SweepFile, read
from metasearch.sweep.run import resolve
from metasearch.testing.contract import SearcherContract
from metasearch.training.runner import LanguageModelRunner
from tests.docs import tables
from tests.docs.reading import DOCS, PAGES, ROOT, anchors, blocks, links, named_blocks, page, rows, section

PLUGINS = {
    name: block for name, block in named_blocks(page("docs/extending.md")).items() if Path(name).parent.name in catalog.ROOMS
}
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.yaml"))
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.fixture(scope="module", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The plug-ins of docs/extending.md as files, a cache of its own, one thread."""
    folder = tmp_path_factory.mktemp("docs")
    for name, block in PLUGINS.items():
        path = folder / "plugins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block, encoding="utf-8")
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("METASEARCH_PLUGINS", str(folder / "plugins"))
        patch.setenv("METASEARCH_CACHE", str(folder / "cache"))
        yield folder
    for module in [name for name in sys.modules if name.startswith("metasearch_plugins.")]:
        del sys.modules[module]


@pytest.fixture(scope="module")
def text_file(surroundings: Path) -> Path:
    path = surroundings / "tiny.txt"
    path.write_text(inspect.getsource(inspect)[:40_000], encoding="utf-8")
    return path


def whole_sweeps() -> Iterator[Any]:
    for name in ("README.md", "docs/sweep-file.md", "docs/extending.md"):
        for number, block in enumerate(blocks(page(name), "yaml")):
            yield pytest.param(block, id=f"{name}-{number}")


def leaves(model: type[Section] = SweepFile, prefix: str = "") -> Iterator[tuple[str, type[Section], str, FieldInfo]]:
    """Every key of a sweep file: its dotted name, its section, its name there, its field."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from leaves(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", model, name, field


def described_by_key() -> dict[str, list[str]]:
    return {cells[0]: cells for cells in rows(section(page("docs/sweep-file.md"), "## Every key")) if len(cells) == 4}


# Sweep files


def test_extending_shows_a_plug_in_of_every_promised_kind() -> None:
    assert {name.split("/")[0] for name in PLUGINS} == {"models", "optimizers", "corpora", "search"}


@pytest.mark.parametrize("block", whole_sweeps())
def test_every_sweep_in_the_documentation_is_valid(block: str, tmp_path: Path) -> None:
    (tmp_path / "shown.yaml").write_text(block, encoding="utf-8")
    sweep = resolve(read(tmp_path / "shown.yaml"))
    assert not sweep.space.check(sweep.space.default())


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_every_experiment_resolves(path: Path) -> None:
    assert resolve(read(path)).name == path.stem


def test_an_experiment_of_pbt_gives_both_places_the_same_options() -> None:
    file = read(ROOT / "experiments" / "pbt.yaml")
    assert catalog.build_searcher(file.search.searcher) == catalog.build_scheduler(file.search.scheduler)


@pytest.mark.parametrize(("key", "model", "name", "field"), leaves(), ids=[leaf[0] for leaf in leaves()])
def test_every_key_of_a_sweep_file_is_described_with_its_default(
    key: str, model: type[Section], name: str, field: FieldInfo
) -> None:
    described = described_by_key()
    assert key in described, f"docs/sweep-file.md does not describe {key}"
    written = described[key][2]
    required = {"task": {"corpus": "x"}, "budget": {"trials": 1}, "name": "x", "corpus": "x"}
    if key == "name":
        assert written == "the file's name"
    elif field.is_required():
        assert written == "required"
    elif field.get_default(call_default_factory=True) in (None, {}):
        assert written == ("none" if field.default is None else "empty")
    else:
        given = {other: required[other] for other in model.model_fields if other in required}
        assert getattr(model(**{**given, name: yaml.safe_load(written)}), name) == field.default


def test_no_key_is_described_that_does_not_exist() -> None:
    assert set(described_by_key()) - {"key", "---"} == {key for key, *_ in leaves()}


def test_every_quantity_shown_is_read() -> None:
    sizes = {"count": "budget.tokens", "time": "budget.wall", "size": "resources.memory"}
    shown = {cells[0]: cells[1] for cells in rows(section(page("docs/sweep-file.md"), "### Quantities")) if cells[0] in sizes}
    assert shown.keys() == sizes.keys()
    for kind, cell in shown.items():
        for written in cell.split("`")[::2]:
            section_name, _, name = sizes[kind].partition(".")
            budget = {"trials": 1, **({name: written} if section_name == "budget" else {})}
            resources = {name: written} if section_name == "resources" else {}
            SweepFile(name="x", task={"corpus": "x"}, budget=budget, resources=resources)


@pytest.mark.parametrize("rows_of", ["parameters", "searchers", "schedulers", "corpora", "tokenizers"])
def test_the_tables_of_plug_ins_follow_from_the_code(rows_of: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METASEARCH_PLUGINS")
    made = {
        "parameters": tables.parameters,
        "searchers": lambda: tables.algorithms("SEARCHER"),
        "schedulers": lambda: tables.algorithms("SCHEDULER"),
        "corpora": tables.corpora,
        "tokenizers": tables.tokenizers,
    }
    expected = "\n".join(made[rows_of]())
    assert f"|\n{expected}\n\n" in page("docs/sweep-file.md"), "print the tables anew: python -m tests.docs.tables"


def test_the_strategy_of_a_pinned_sweep_is_as_described() -> None:
    strategy = language_model_space({}, search_unlisted=False).default().strategy
    *most, last = (f"`{name}`" for name in strategy.split("/"))
    words = " ".join(page("docs/sweep-file.md").split())
    assert f"{', '.join(most)} and {last}" in words


@pytest.mark.parametrize(
    "written", [cells for cells in rows(section(page("docs/sweep-file.md"), "## The space"))], ids=lambda c: c[0]
)
def test_every_notation_of_a_domain_is_read(written: list[str]) -> None:
    """The first column of the two tables of notations holds pieces of a ``space`` section."""
    piece = written[0].replace("S", "0.1").replace("C", "0.5").replace("D", "0.2")
    hosts = {
        "log": "lr: {float: [1e-4, 1e-2], ",
        "complement": "momentum: {float: [0.8, 0.99], ",
        "step": "dropout: {float: [0, 0.4], ",
        "default": "dropout: {float: [0, 0.4], ",
        "when": "lr: {float: [0.1, 0.2], ",
    }
    name, _, value = piece.partition(": ")
    if not value or "=" in name:
        return
    if name == "prior":
        hosts["prior"] = {"{": "dropout: {float: [0, 0.4], ", "[": "depth: {choice: [1, 2], ", "0": "tied: {boolean: true, "}[
            value[0]
        ]
    content = yaml.safe_load(f"{hosts[name]}{piece}}}" if name in hosts else piece)
    narrowed = language_model_space({"optimizer": ["sgd", "adamw"], **content}, search_unlisted=True)
    assert narrowed != language_model_space({"optimizer": ["sgd", "adamw"]}, search_unlisted=True) or "boolean" in piece


# Plug-ins


def tiny_sweep(text_file: Path, section: dict[str, Any]) -> Sweep:
    small = {"width": 16, "depth": 1, "batch_size": 4, "context": 16, "schedule": "constant", "clipping": "norm"}
    space = language_model_space({**small, **section}, search_unlisted=False)
    return Sweep("tiny", as_task(load(str(text_file), "byte")), space, horizon=3000, reports=3)


@pytest.mark.parametrize("strategy", [{"model": "convolution"}, {"optimizer": "rmsprop"}], ids=str)
def test_the_shown_model_and_optimizer_learn_and_resume(text_file: Path, strategy: dict[str, str]) -> None:
    sweep = tiny_sweep(text_file, strategy)
    leg = Assignment(TrialId(0), 0, sweep.space.default(), seed=1)
    assert strategy.items() <= leg.config.items()
    whole, stopped, resumed = (LanguageModelRunner(sweep, leg) for _ in range(3))
    losses = [whole.advance().loss for _ in range(3)]
    assert losses[2] < losses[0] < 8.5, "it must learn, from about 8 bits per byte on"
    stopped.advance()
    resumed.restore(stopped.checkpoint())
    assert [resumed.advance().loss for _ in range(2)] == losses[1:]


def test_the_shown_model_sees_the_past_only_and_carries_it() -> None:
    module = catalog.load("models", "convolution")
    config = module.SPACE.complete({"width": 16, "depth": 2, "reach": 3})
    model = module.build(config, 11).eval()
    tokens_BT = torch.arange(12).reshape(2, 6) % 11
    whole_BTV, _ = model(tokens_BT, model.initial_state(2))
    first_BTV, state = model(tokens_BT[:, :4], model.initial_state(2))
    rest_BTV, _ = model(tokens_BT[:, 4:], state)
    torch.testing.assert_close(torch.cat((first_BTV, rest_BTV), dim=1), whole_BTV)


def test_shown_plug_ins_take_part_in_sweeps_that_search_everything() -> None:
    whole = language_model_space({}, search_unlisted=True)
    assert "reach" in whole.names
    assert {"convolution", "rmsprop"} <= {
        str(option) for p in whole if p.name in ("model", "optimizer") for option in getattr(p.domain, "options", ())
    }


def test_the_shown_corpus_loads_and_names_its_faults(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.md").write_text(f"# Note {number}\n" + "Some text to learn from.\n" * 200)
    kinds = catalog.corpus_kinds()
    corpus = load(f"notes:{tmp_path}", kinds=kinds)
    assert bytes(corpus.train[:8].tolist()) == b"# Note 0"
    assert as_task(corpus).id == as_task(load({"source": f"notes:{tmp_path}"}, kinds=kinds)).id
    with pytest.raises(metasearch.UserError, match="there are no Markdown files under"):
        load(f"notes:{tmp_path / 'none'}", kinds=kinds)


def test_the_shown_simulation_runs_and_finds_a_good_config(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec(compile(named_blocks(page("docs/extending.md"))["simulate.py"], "simulate.py", "exec"), names)
    history = names["engine"].history
    assert len(history) == 60
    assert {trial.origin for trial in history} == {"hill_climb"}
    assert any(trial.reason.startswith("near trial") for trial in history)
    assert history.best_loss < 1.3, "the optimum is about 1.14"
    assert str(history.best_loss) in capsys.readouterr().out


def test_the_shown_contract_test_is_one() -> None:
    names: dict[str, Any] = {}
    exec(compile(named_blocks(page("docs/extending.md"))["tests/test_hill_climb.py"], "test_hill_climb.py", "exec"), names)
    assert issubclass(names["TestHillClimb"], SearcherContract)


class TestShownSearcher(SearcherContract):
    @pytest.fixture
    def searcher(self) -> Any:
        return catalog.build_searcher("hill_climb")


# Python and commands


def test_the_python_of_the_readme_fits_the_interface(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Launching is the business of other tests; here its arguments and all names have to fit."""
    called: list[str] = []

    def noting(function: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            inspect.signature(function).bind(*given, **named)
            called.append(function.__name__)
            return type("Result", (), {"reason": "", "best": None})()

        return call

    for owner, name in ((metasearch, "launch"), (metasearch, "resume"), (metasearch.Store, "best"), (metasearch.Store, "query")):
        monkeypatch.setattr(owner, name, noting(getattr(owner, name)), raising=False)
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(page("README.md"), "python")
    exec(compile(block, "README.md", "exec"), {})
    assert called == ["launch", "resume", "best", "query"]


def test_the_python_of_the_ray_page_fits_the_interface(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All of it but the run itself, in a process that knows Ray."""
    shown = named_blocks(page("docs/ray.md"))
    assert set(shown) == {"tuner.py", "spaces.py"}
    for name, block in shown.items():
        without_run = block.replace("tuner.fit()\n", "")
        assert (without_run != block) == (name == "tuner.py")
        (tmp_path / name).write_text(without_run + f"\nprint('read {name}')\n", encoding="utf-8")
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        done = subprocess.run([sys.executable, name], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
        assert f"read {name}" in done.stdout, done.stderr


def test_every_argument_of_the_ray_page_is_described_with_its_default() -> None:
    from metasearch.ray import MetaSearcher

    described = {cells[0]: cells[1] for cells in rows(page("docs/ray.md")) if len(cells) == 3}
    for name, parameter in inspect.signature(MetaSearcher).parameters.items():
        required = parameter.default is inspect.Parameter.empty
        assert described[name] == ("required" if required else repr(parameter.default).replace("'", '"')), name


def test_spaces_of_the_ray_page_hold_together() -> None:
    names: dict[str, Any] = {}
    exec(compile(named_blocks(page("docs/ray.md"))["spaces.py"], "spaces.py", "exec"), names)
    assert isinstance(names["space"], Space)
    assert "heads" in names["space"].names


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_described_with_all_of_its_options(command: str) -> None:
    described = section(page("docs/command-line.md"), f"### `{command}`")
    assert f"metasearch {command}" in described, "an example is missing"
    options = {option for parameter in COMMANDS[command].params for option in parameter.opts if option.startswith("-")}
    missing = [option for option in options - {"--help"} if f"{option}" not in described]
    assert not missing
    assert any(cells[0].startswith(f"metasearch {command}") for cells in rows(page("README.md"))), "README lacks it"


def test_no_command_or_option_is_described_that_does_not_exist() -> None:
    text = page("docs/command-line.md")
    described = {line.strip("#` ") for line in text.splitlines() if line.startswith("### `")}
    assert described == set(COMMANDS)
    for command in COMMANDS:
        known = {option for parameter in COMMANDS[command].params for option in parameter.opts}
        shown = {word.strip("`,;:") for word in section(text, f"### `{command}`").split() if word.strip("`,;:").startswith("--")}
        assert shown <= known, command


@pytest.mark.parametrize("name", ["README.md", *(f"docs/{path.name}" for path in sorted(DOCS.glob("*.md")))])
def test_every_command_line_shown_can_be_parsed(name: str) -> None:
    import shlex

    for block in blocks(page(name), ""):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:1] == ["metasearch"] and words[1].islower():
                words = words[: words.index(">")] if ">" in words else words
                COMMANDS[words[1]].make_context(words[1], words[2:])


def test_every_limit_of_a_budget_is_in_the_glossary() -> None:
    words = next(cells[1] for cells in rows(page("docs/glossary.md")) if cells[0] == "**Budget**")
    assert all(limit.split("_")[0].lower() in words.lower() for limit in BudgetSection.model_fields)


# Pages


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    for target, anchor in links(path):
        assert target.exists(), f"{path.name} links to {target}"
        assert not anchor or anchor in anchors(target), f"{path.name} links to a heading {anchor} that {target.name} lacks"


def test_every_decision_is_listed_and_in_order() -> None:
    files = sorted(path for path in (DOCS / "decisions").glob("*.md") if path.name != "README.md")
    assert [target for target, _ in links(DOCS / "decisions" / "README.md")] == files
    assert [int(path.name[:4]) for path in files] == list(range(1, len(files) + 1))
    for path in files:
        assert path.read_text().startswith(f"# {path.name[:4]} ")
        assert all(f"\n## {part}\n" in path.read_text() for part in ("Context", "Decision", "Consequences"))


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        path = ahead.pop()
        if path.suffix == ".md" and path.exists() and path not in reached:
            reached.add(path)
            ahead += [target / "README.md" if target.is_dir() else target for target, _ in links(path)]
    assert set(PAGES) <= reached
