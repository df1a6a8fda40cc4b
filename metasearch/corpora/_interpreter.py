"""Texts made of tables that the interpreter carries: the language reference, the Unicode database, the codecs."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import unicodedata
from collections.abc import Iterator

from metasearch.corpora._stdlib import scrambled

UNICODE_BLOCK = 64
"""Neighbours in Unicode belong together; they are kept together in runs of this many code points."""
NUMBERED = ("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "HANGUL SYLLABLE", "TANGUT", "NUSHU", "KHITAN", "EGYPTIAN", "ANATOLIAN")
"""Characters whose names are numbers or spelled by rule: a hundred thousand lines with nothing to learn."""
UNDEFINED = "\ufffe"


def language_reference() -> Iterator[str]:
    """The topics that ``help()`` shows; nothing if this Python comes without them."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        return
    for _, text in scrambled(topics.items()):
        yield text.rstrip() + "\n\n"


def unicode_names() -> Iterator[str]:
    starts = range(0, sys.maxunicode + 1, UNICODE_BLOCK)
    for _, start in scrambled((f"{start:06X}", start) for start in starts):
        lines = [_character_line(chr(code)) for code in range(start, start + UNICODE_BLOCK)]
        yield "".join(f"{line}\n" for line in lines if line and not line.partition(" ")[2].startswith(NUMBERED))


def codec_tables() -> Iterator[str]:
    """The 256 characters of each single-byte codec: codec, byte, code point, character, name."""
    for codec, table in scrambled(_decoding_tables().items()):
        rows = [(byte, character) for byte, character in enumerate(table) if character != UNDEFINED]
        lines = [f"{codec} 0x{byte:02X} U+{ord(character):04X} {_character_line(character)}".rstrip() for byte, character in rows]
        yield "\n".join(lines) + "\n\n"


def _decoding_tables() -> dict[str, str]:
    import encodings

    found = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(encodings.__path__)):
        try:
            module = importlib.import_module(f"encodings.{name}")
        except (ImportError, LookupError):
            continue  # codecs of another operating system
        table = getattr(module, "decoding_table", None)
        if isinstance(table, str):
            found[name] = table
    return found


def _character_line(character: str) -> str:
    """``A LATIN CAPITAL LETTER A``; a blank stands for what cannot be printed; empty for a character without a name."""
    name = unicodedata.name(character, "")
    return f"{character if character.isprintable() else ' '} {name}" if name else ""
