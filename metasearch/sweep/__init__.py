"""Wiring: a sweep file or its Python equivalent becomes a Sweep, an Engine and a running backend."""
