"""``python -m metasearch`` is the command ``metasearch``."""

from metasearch.cli.main import main

main()
