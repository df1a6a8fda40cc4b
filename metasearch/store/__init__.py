"""What is kept: facts as immutable Parquet segments, views over them, checkpoints. The only room that knows files."""

from metasearch.store.archive import Store
from metasearch.store.files import StoreUnavailable
from metasearch.store.log import SegmentLog

__all__ = ["SegmentLog", "Store", "StoreUnavailable"]
