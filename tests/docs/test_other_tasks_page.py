"""docs/other-tasks.md: every sweep that it shows is one, over examples like those it speaks of."""

from __future__ import annotations

from pathlib import Path

import pytest

from metasearch.sweep.file import read
from metasearch.sweep.resolving import resolve
from tests.docs.reading import blocks, page

SHOWN = blocks(page("docs/other-tasks.md"), "yaml")
FILES = {
    "reviews.tsv": "review\tstars\n" + "good\t5\nbad\t1\n" * 20,
    "held-out.tsv": "review\tstars\nfine\t5\n",
    **{f"{split}.{side}": f"{side} text\n" * 40 for split in ("train", "valid") for side in ("en", "de")},
}


@pytest.mark.parametrize("number", range(len(SHOWN)))
def test_every_shown_sweep_is_valid(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "shown.yaml").write_text(SHOWN[number], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    sweep = resolve(read("shown.yaml"))
    assert sweep.task.kind in ("classify", "translate") and not sweep.space.check(sweep.space.default())
