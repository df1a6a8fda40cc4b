"""docs/importing.md: its script runs as it stands, and what it imports is known to the commands that follow."""

from pathlib import Path

import pytest

from metasearch.store.archive import Store
from tests.docs.reading import executed, named_blocks, page


def test_the_script_of_the_page_imports_its_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    executed(named_blocks(page("docs/importing.md"))["importing.py"], "importing.py")
    assert capsys.readouterr().out == "{'digits-2024': 10}\n"
    (row,) = Store(tmp_path / "store").best(top=1).to_pylist()
    assert (row["sweep"], row["task"]) == ("digits-2024", "digits")
