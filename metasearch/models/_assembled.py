"""From the models that a plug-in builds to what a kind of task trains."""

from __future__ import annotations

from collections.abc import Callable

from metasearch.models._classifier import Classifier
from metasearch.models._language_model import LanguageModel
from metasearch.models._text_model import TextModel
from metasearch.models._translator import Translator


def assembled(kind: str, build: Callable[[], LanguageModel], vocab_size: int, classes: int = 0) -> TextModel:
    """``classify``: a reader with a head for ``classes``. ``translate``: two, of which the last two ids of the vocabulary begin and
    end a target. Every other kind: the language model itself.
    """
    if kind == "classify":
        return Classifier(build(), classes)
    return Translator(build(), build(), vocab_size - 2) if kind == "translate" else build()
