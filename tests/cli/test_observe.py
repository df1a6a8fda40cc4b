"""What the driver's observer does while the store does not answer."""

import pytest

from metasearch.cli.observe import Terminal
from metasearch.core.history import History
from metasearch.store.archive import Store
from metasearch.store.files import StoreUnavailable


def test_an_unreachable_store_is_no_request_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(store: Store, sweep: str) -> bool:
        raise StoreUnavailable("the store does not answer")

    monkeypatch.setattr(Store, "stop_requested", unreachable)
    terminal = Terminal(Store("somewhere"), "one", quiet=True)
    terminal.shown_at = float("inf")
    assert terminal.tick(History(), 0, 1) is None
