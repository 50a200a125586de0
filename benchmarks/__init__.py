"""Ours, the peer and the raw limit side by side: ``python -m benchmarks``. See ``README.md`` here."""
