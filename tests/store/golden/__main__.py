"""Writes the golden segment of the current schema version, if it is not there yet: ``python -m tests.store.golden``."""

from pathlib import Path

from metasearch.store.schema import VERSION, encode, write_table
from tests.store.golden import FACTS

path = Path(__file__).parent / f"v{VERSION}.parquet"
if not path.exists():
    path.write_bytes(write_table(encode(FACTS, 0), small=True))
