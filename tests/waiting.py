"""Waiting for a condition with a deadline; tests never sleep for luck."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from typing import TypeVar

T = TypeVar("T")
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def wait_until(
    condition: Callable[[], T],
    *,
    within_s: float = 60.0,
    every_s: float = 0.02,
    alive: Callable[[], int | None] | None = None,
) -> T:
    """Returns the first true value of the condition; fails after ``within_s``, or when ``alive`` gives an exit code.

    A condition that costs the server under test something is asked ``every_s`` less often. It is always asked once
    more behind the deadline: a machine that stood still must not make it fail unasked.
    """
    deadline = time.monotonic() + within_s
    while True:
        last = time.monotonic() >= deadline
        value = condition()
        if value:
            return value
        code = alive() if alive is not None else None
        assert code is None, f"the process has ended with {code}"
        assert not last, f"not within {within_s} s; last value {value!r}"
        time.sleep(every_s)


def http_answers(url: str) -> bool:
    """Whether GET is answered below 400."""
    try:
        with _opener.open(url, timeout=2):
            return True
    except (OSError, HTTPException):
        return False
