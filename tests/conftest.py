"""Tests run side by side: none may take more threads than its share, and none may read or leave a cache of the user's."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["METASEARCH_SHIPPED"] = "none"  # stores begin empty
os.environ["RAYON_NUM_THREADS"] = "1"
