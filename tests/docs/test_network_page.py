"""docs/meta-network.md: its Python runs, and its table lists the inits that exist."""

from metasearch import catalog
from tests.docs.reading import blocks, executed, page, rows, section

PAGE = page("docs/meta-network.md")


def test_the_shown_python_runs() -> None:
    first, second = blocks(PAGE, "python")
    executed(first, "meta-network.md")
    made = executed(second, "meta-network.md")
    assert made["weights"]["embedding.weight"].shape == (256, 48)


def test_every_init_is_described() -> None:
    described = {cells[0] for cells in rows(section(PAGE, "## In a sweep"))} - {"init", "---"}
    assert described == set(catalog.names("inits"))
