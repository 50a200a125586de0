"""One module per group of subcommands; each only parses, calls a room, and shows."""

__all__: list[str] = []
