"""The demo: the main job end to end, with proof that nothing is lost or doubled on the way."""

__all__: list[str] = []
