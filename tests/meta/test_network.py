"""The meta-network: what it makes are weights of ordinary models, exactly those that it learned with."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from metasearch.core.errors import UserError
from metasearch.core.rng import derive
from metasearch.meta import network as module
from metasearch.meta._alphabets import transliterated
from metasearch.meta._hypernetwork import loss
from metasearch.meta._text_statistics import statistics
from metasearch.meta.network import STARTS, MetaNetwork, Recipe, Size, Structure, TextTask, Vocabulary

SMALL = Size(width=32, layers=2, experts=2, roles=12, rounds=2, embedding=8)
QUICK = Recipe(steps=80, rate=2e-2, few_step_share=0.05, inner_steps=2, tasks_at_once=2, rows=4, length=24, sample_bytes=512)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def task_of(symbols: str, length: int = 6000, seed: int = 0) -> TextTask:
    """Text in which each symbol is followed by one of two."""
    rng, text = derive(seed, "text", *map(ord, symbols)), [0]
    for step in rng.integers(1, 3, length):
        text.append((text[-1] + int(step)) % len(symbols))
    return TextTask(symbols, np.array([ord(symbols[i]) for i in text], dtype=np.uint8), {"letters": float(len(symbols))})


TASKS = [task_of("abcde"), replace(task_of("vwxyz"), name="abcde.txt"), task_of("0123456789")]


@pytest.fixture(scope="module")
def network() -> MetaNetwork:
    return MetaNetwork.learn(TASKS, SMALL, QUICK)


def test_learning_lowers_the_loss_before_any_training(network):
    structure = Structure("lstm", 1, 32)
    before = MetaNetwork.learn(TASKS, SMALL, replace(QUICK, steps=1))
    new = task_of("abcde", seed=7)
    assert network.initial_loss(new, structure) < before.initial_loss(new, structure) - 0.2


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_wider_model_predicts_what_the_base_does(network, cell, tied):
    task = TASKS[0]
    text_BT = torch.from_numpy(task.text_N[:200].astype(np.int64))[None]
    narrow = network.weights(task, Structure(cell, 3, 32, tied))
    for width in (33, 100):
        wide = network.weights(task, Structure(cell, 3, width, tied))
        assert wide["embedding.weight"].shape == (256, width)
        assert loss(wide, cell, text_BT).item() == pytest.approx(loss(narrow, cell, text_BT).item(), abs=1e-4)


def test_copies_of_a_unit_are_not_treated_alike(network):
    wide = network.weights(TASKS[0], Structure("gru", 2, 64))["body.kernel.weight_hh_l0"]
    assert not torch.allclose(wide[:, :32], wide[:, 32:])


def test_a_saved_network_makes_the_same_weights_up_to_rounding(network, tmp_path):
    network.save(tmp_path / "network.safetensors")
    again = MetaNetwork.load(tmp_path / "network.safetensors")
    assert set(again.sources) == {task.name for task in TASKS}
    structure = Structure("lstm", 2, 40)
    for start in STARTS:
        mine, theirs = (each.weights(TASKS[1], structure, start) for each in (network, again))
        assert all(torch.allclose(mine[name], theirs[name], atol=0.02) for name in mine)
    assert again.card["sources"] == [task.name for task in TASKS]


def test_learning_that_was_interrupted_goes_on_as_if_it_had_not(monkeypatch, tmp_path):
    recipe, partial = replace(QUICK, steps=12), tmp_path / "network.partial"
    whole = MetaNetwork.learn(TASKS, SMALL, recipe)
    monkeypatch.setattr(module.learning, "STEPS_BETWEEN_NOTES", 5)

    def die(line: str) -> None:
        if line.startswith("step 10 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        MetaNetwork.learn(TASKS, SMALL, recipe, note=die, partial=partial)
    told: list[str] = []
    resumed = MetaNetwork.learn(TASKS, SMALL, recipe, note=told.append, partial=partial)
    assert told[0] == "going on after step 5"
    for one, other in ((whole.hypernetwork, resumed.hypernetwork), (whole.reptile, resumed.reptile)):
        assert all(torch.equal(*pair) for pair in zip(one.parameters(), other.parameters(), strict=True))
    with pytest.raises(UserError, match="begun with other seed"):
        MetaNetwork.learn(TASKS, SMALL, recipe, seed=1, partial=partial)


def test_the_nearest_source_of_a_text_like_one_is_that_one(network):
    assert network.nearest(task_of("0123456789", seed=3)) == "0123456789"


def test_tokens_are_composed_of_their_bytes(network):
    task, structure = TASKS[0], Structure("lstm", 1, 32, tied=False)
    plain = network.weights(task, structure)
    single = [bytes([byte]) for byte in range(256)]
    same = network.weights(task, structure, vocabulary=Vocabulary(single, np.bincount(task.text_N, minlength=256)))
    assert all(torch.allclose(plain[name], same[name], atol=1e-5) for name in plain)
    tokens = network.weights(task, structure, vocabulary=Vocabulary([b"", b"ab", b"c"], np.array([0, 5, 9])))
    assert tokens["head.weight"].shape == (3, 32) and tokens["head.bias"].shape == (3,)
    assert torch.allclose(tokens["embedding.weight"][2], plain["embedding.weight"][ord("c")])


@pytest.mark.parametrize("start", STARTS)
def test_a_vocabulary_of_bytes_changes_the_weights_of_no_start(network, start):
    task, structure = TASKS[0], Structure("gru", 1, 32)
    single = Vocabulary([bytes([byte]) for byte in range(256)], np.bincount(task.text_N, minlength=256))
    plain, same = network.weights(task, structure, start), network.weights(task, structure, start, vocabulary=single)
    assert all(torch.allclose(plain[name], same[name], atol=1e-5) for name in plain)


def test_structures_are_ranked_by_their_loss_before_training(network):
    ranked = network.structures(TASKS[0])
    losses = [value for _, value in ranked]
    assert losses == sorted(losses) and len(ranked) == 2 * 4 * 2
    assert network.structure(TASKS[0], width=96).width == 96


def test_a_description_that_misleads_is_not_believed(network):
    structure, odd = Structure("lstm", 1, 32), task_of("!?#", seed=1)
    pooled = loss(network.weights(odd, structure, "pooled"), "lstm", module._probe(odd)).item()
    assert network.initial_loss(odd, structure) <= pooled + 1e-6


def test_statistics_follow_the_bytes_when_they_exchange_their_names():
    text_N, order_V = TASKS[0].text_N, np.random.default_rng(0).permutation(256)
    plain, renamed = statistics(text_N), statistics(order_V[text_N].astype(np.uint8))
    assert torch.allclose(plain.features_VF, renamed.features_VF[order_V])
    named = {int(byte): place for place, byte in enumerate(renamed.bytes_U)}
    place_U = torch.tensor([named[int(order_V[byte])] for byte in plain.bytes_U])
    assert torch.equal(plain.neighbours_KUU, renamed.neighbours_KUU[:, place_U][:, :, place_U])


def test_a_text_in_letters_that_no_source_has_is_understood_by_their_use(network):
    """The same language, but for the names of its bytes."""
    structure, known = Structure("lstm", 1, 32), task_of("abcde", seed=7)
    strange = TextTask("strange", known.text_N + 100, known.descriptor)
    pooled = loss(network.weights(strange, structure, "pooled"), "lstm", module._probe(strange)).item()
    assert network.initial_loss(strange, structure) < pooled - 0.1


@pytest.mark.parametrize("seed", range(8))
def test_a_text_in_another_alphabet_keeps_its_words(seed):
    text = "Abc, abc; one two; 7.\n" * 20
    other = bytes(transliterated(np.frombuffer(text.encode(), np.uint8), derive(seed, "alphabet"))).decode("utf-8")
    assert len(other) == len(text) and len(other.encode()) > len(text)
    kept = [one for one, letter in zip(other, text, strict=True) if not letter.isalpha()]
    assert kept == [letter for letter in text if not letter.isalpha()]
    exchanged = {(letter, one) for one, letter in zip(other, text, strict=True) if letter.isalpha()}
    letters, others = zip(*exchanged, strict=True)
    assert len(letters) == len(set(letters)) and not any(one.isascii() for one in others)
    assert len(set(others)) in (len(set(letters)), len({letter.lower() for letter in letters}))


def test_other_alphabets_are_learned_from_texts_in_the_latin_one():
    """Of Latin text alone it is not known that a letter may be two bytes, of which the second tells more."""
    structure, known = Structure("lstm", 1, 32), task_of("abcde", seed=7)
    strange = TextTask("strange", transliterated(known.text_N, derive(3, "alphabet")), {})
    plain, several = (MetaNetwork.learn(TASKS, SMALL, replace(QUICK, transliterated=share)) for share in (0.0, 0.5))
    assert several.initial_loss(strange, structure) < plain.initial_loss(strange, structure) - 0.1


def test_tasks_without_a_description_are_learned_from_by_their_text():
    tasks = [replace(task, descriptor={}) for task in TASKS]
    network = MetaNetwork.learn(tasks, SMALL, replace(QUICK, steps=2))
    assert np.isfinite(network.initial_loss(TASKS[0], Structure("lstm", 1, 32)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Structure("lstn", 5, 1024), r"cell must be.*depth must be from 1 to 4, found 5.*width must be from 32 to 512"),
        (lambda: TextTask("tiny", np.zeros(10, np.uint8), {}), "10 bytes; at least 256"),
        (lambda: TextTask("blank", np.full(999, 32, np.uint8), {}), "one symbol, repeated 999 times"),
        (lambda: MetaNetwork.learn(TASKS[:1]), "at least 2 corpora, found 1"),
    ],
)
def test_bad_input_is_told_with_what_was_expected(make, message):
    with pytest.raises(UserError) as caught:
        make()
    assert re.search(message, " ".join([caught.value.message, *caught.value.faults]))


def test_a_file_that_is_no_network_is_told_so(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match="or is damaged"):
        MetaNetwork.load(tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="There is no meta-network"):
        MetaNetwork.load(tmp_path / "y.safetensors")
