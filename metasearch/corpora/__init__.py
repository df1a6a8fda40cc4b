"""Text to tokens to a task.

>>> corpus = load("cpython/comments", {"name": "bpe", "vocab_size": 1024})
>>> task = as_task(corpus)

A source is ``"kind:place"``, a listed name (``describe_sources()``), the path of a file or folder, or a mapping with the key
``source`` and the options of the kind.

A new kind of corpus is one file here, or in ``corpora/`` of a folder in ``METASEARCH_PLUGINS``, whose name is the scheme. It offers
the five functions of ``Kind``; this is ``poems.py``, a whole one:

    from pathlib import Path
    from metasearch.corpora import Splits

    FOLDER = Path("/srv/poems")

    def describe():                      return {"poems:POET": "the collected poems of POET"}
    def check(place, options):           return [] if (FOLDER / place).exists() else [f"there are no poems by {place}"]
    def resolve(place):                  return place
    def fingerprint(place, options):     return f"poems {place} {(FOLDER / place).stat().st_mtime_ns}"
    def read(place, options):            return Splits.cut((FOLDER / place).read_text(encoding="utf-8"))

Files that start with an underscore are not kinds. A kind imports what is heavy inside its functions.
"""

from metasearch.corpora._corpus import TokenizedCorpus, as_task, check_source, describe_sources, load
from metasearch.corpora._examples import EXAMPLE_KINDS, HIGHER_IS_BETTER, LOSS, ExampleCorpus, check_examples, load_examples
from metasearch.corpora._kinds import Kind, Kinds
from metasearch.corpora._splits import Splits

__all__ = [
    "EXAMPLE_KINDS",
    "HIGHER_IS_BETTER",
    "LOSS",
    "ExampleCorpus",
    "Kind",
    "Kinds",
    "Splits",
    "TokenizedCorpus",
    "as_task",
    "check_examples",
    "check_source",
    "describe_sources",
    "load",
    "load_examples",
]
