"""Named points where a test ends or stops this process, to prove what a crash there does.

``TRADEWIRE_FAILPOINT=sink.after_intent`` kills the process at that point as ``kill -9`` would; ``sink.after_intent:3``
the third time it is reached; ``sink.after_intent:1:stop`` sends it SIGSTOP instead, to make a zombie of it.
"""

from __future__ import annotations

import os
import signal
from typing import Final

EXIT_CODE: Final = 137
_name, _, _rest = os.environ.get("TRADEWIRE_FAILPOINT", "").partition(":")
_count, _, _action = _rest.partition(":")
_left = int(_count or 1)


def failpoint(name: str) -> None:
    """Does nothing unless the environment names this point."""
    global _left
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        if _action == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            os._exit(EXIT_CODE)
