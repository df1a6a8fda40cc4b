"""The meta-network as a user meets it: learned from corpora, applied to one, and refused in one message."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from tests.cli.place import Place

pytestmark = [pytest.mark.xdist_group("cli"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("network")
    (folder / "latin.txt").write_text("The quick brown fox jumps over the lazy dog.\n" * 300)
    (folder / "digits.txt").write_text("".join(f"{n} times {n} is {n * n}\n" for n in range(800)))
    (folder / "runes.txt").write_text("ᚠᛇᚻ᛫ᛒᛦᚦ᛫ᚠᚱᚩᚠᚢᚱ᛫ᚠᛁᚱᚪ᛫ᚷᛖᚻᚹᛦᛚᚳᚢᛗ\n" * 200, encoding="utf-8")
    (folder / "blank.txt").write_text("\n" * 5000)
    (folder / "binary.bin").write_bytes(bytes(range(256)) * 40)
    return Place(folder)


def test_a_network_is_learned_from_corpora_and_applied_to_another(place: Place) -> None:
    learning = ["meta", "learn", "network", "--corpora", "latin.txt", "--corpora", "digits.txt", "--steps", "3", "--width", "32"]
    card = place.json(*learning, "--out", "own.safetensors")
    assert card["sources"] == ["latin.txt", "digits.txt"] and card["recipe"]["steps"] == 3
    assert not list(place.folder.glob("own.safetensors.partial*"))
    told = place.run("meta", "apply", "--corpus", "runes.txt", "--out", "made", "--network", "own.safetensors", "--width", "40")
    assert "bits per byte on the validation text" in told and "most like" in told
    found = json.loads((place.folder / "made/model.json").read_text())
    with safe_open(place.folder / "made/model.safetensors", "pt") as file:
        assert file.get_tensor("model.embedding.weight").shape == (256, 40)
    assert found["structure"]["width"] == 40 and 0 < found["val_bpb"] < 9


def test_the_shipped_network_gives_a_model_of_the_asked_structure(place: Place) -> None:
    arguments = ["--cell", "gru", "--depth", "2", "--untied", "--tokenizer", "bpe"]
    found = place.json("meta", "apply", "--corpus", "latin.txt", "--out", "gru", *arguments)
    assert found["structure"] == {"model": "gru", "depth": 2, "width": 128, "tied": False}
    assert found["nearest"].startswith("cpython/")


def test_earlier_trials_recommend_structures_and_what_to_apply(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METASEARCH_SHIPPED")
    asked = ["--corpus", "latin.txt", "--tokens", "100k"]
    found = place.json("meta", "structures", *asked, "--top", "200")
    scores = [one["score"] for one in found]
    assert scores == sorted(scores, reverse=True) and {one["model"] for one in found} == {"lstm", "gru", "transformer"}
    assert all(one["config"][name] == one[name] for one in found for name in ("model", "depth", "width", "tied"))
    assert place.run("meta", "structures", *asked, "--top", "1").splitlines()[1].split()[0] == found[0]["model"]
    applied = place.json("meta", "apply", *asked, "--out", "recommended", "--depth", "2")["structure"]
    best = next(one for one in found if (one["depth"], one["width"]) == (2, 128) and one["model"] in ("lstm", "gru"))
    assert applied == {name: best[name] for name in applied}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["learn", "netwrok"], 'Did you mean "network"?'),
        (["learn", "network", "--corpora", "latin.txt"], "at least 2 corpora, found 1"),
        (["learn", "network", "--corpora", "blank.txt", "--corpora", "binary.bin"], "binary.bin"),
        (["apply", "--corpus", "latin.txt", "--out", "x", "--depth", "7"], "depth must be from 1 to 4, found 7"),
        (["structures", "--corpus", "latin.txt", "--tokens", "1k"], "unset METASEARCH_SHIPPED"),
        (["structures", "--corpus", "latin.txt", "--tokens", "many"], 'found "many"'),
        (["apply", "--corpus", "latin.txt", "--out", "x", "--store", "."], "add --tokens"),
        (["apply", "--corpus", "blank.txt", "--out", "x"], "one symbol"),
        (["apply", "--corpus", "latin.txt", "--out", "x", "--network", "latin.txt"], "or is damaged"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_message_and_nothing_is_written(
    place: Place, arguments: list[str], message: str
) -> None:
    before = {path for path in place.folder.iterdir() if path.name != "cache"}
    assert message in place.run("meta", *arguments, status=2)
    assert before == {path for path in place.folder.iterdir() if path.name != "cache"}


def test_the_shipped_network_is_small() -> None:
    from metasearch.meta.network import SHIPPED

    assert Path(SHIPPED).stat().st_size < 3_000_000
