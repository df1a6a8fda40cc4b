"""The Python of docs/handover.md, run over a small sweep of the name it uses."""

import importlib
import sys
from pathlib import Path

import pytest

from metasearch.store.archive import Store
from metasearch.sweep.file import SweepFile
from metasearch.sweep.resolving import resolve
from tests.docs.reading import blocks, executed, page
from tests.sweep.serial import run

TINY = {"model": "gru", "width": 16, "context": 16, "batch_size": 8, "depth": 1}


def test_the_page_exports_generates_reproduces_and_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = SweepFile(
        name="quickstart",
        task={"corpus": "cpython/comments"},
        space=TINY,
        search={"searcher": "random", "scheduler": "fifo"},
        budget={"trials": 4},
        trial={"tokens": 500, "reports": 2},
    )
    run(resolve(file), Store(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)
    loading, using = blocks(page("docs/handover.md"), "python")
    executed(using, "handover.py")
    assert capsys.readouterr().out.splitlines()[-1] == "0.0"
    monkeypatch.syspath_prepend(str(tmp_path / "model"))
    importlib.invalidate_caches()
    try:
        assert executed(loading, "loading.py")["model"].initial_state(1)[0].shape == (1, 1, 16)
    finally:
        sys.modules.pop("load", None)
    told = executed(*blocks(page("docs/report.md"), "python"), "report.py")
    assert "quickstart" in told["html"] and told["events"]
