"""What a task wants, in words."""

import pytest

from metasearch.core.task import Task


@pytest.mark.parametrize(("source", "aim"), [({}, "minimise accuracy"), ({"mode": "max"}, "maximise accuracy")])
def test_a_task_says_which_way_its_metric_is_better(source: dict[str, str], aim: str) -> None:
    assert Task("mine", metric="accuracy", source=source).aim == aim


def test_a_stored_loss_is_told_as_the_metric() -> None:
    assert Task("t", metric="accuracy", source={"mode": "max"}).value(-0.9) == 0.9
    assert Task("t").value(2.5) == 2.5
