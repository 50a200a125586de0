"""Where commands print their results: a terminal as wide as it is, a file or pipe as wide as its tables."""

from __future__ import annotations

import os
from typing import Any, Final

from rich.console import Console

# Rich takes 80 columns for anything that is no terminal, and would cut or break values that programs read.
_WIDTH_OF_FILES: Final = 100_000


def stdout_console(**options: Any) -> Console:
    """A console on stdout. In a file or pipe a table is as wide as its values, unless ``COLUMNS`` says otherwise."""
    made = Console(**options)
    if not made.is_terminal and "COLUMNS" not in os.environ:
        made.width = _WIDTH_OF_FILES
    return made
