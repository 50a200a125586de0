"""Idempotency keys of requests: the same key again is answered from memory instead of being published again.

What outlives this process is the event id, which is a function of type, subject and key: a repeat that reaches another
process, or this one after a restart or ``KEYS_MAX`` newer keys, is published again with the same id.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from tradewire.gateway.problems import Problem, malformed

KEYS_MAX: Final = 10_000
KEY_LENGTH_MAX: Final = 255


class Answer(NamedTuple):
    """A successful answer that may be given again."""

    status: int
    body: bytes


class _Entry(NamedTuple):
    fingerprint: bytes
    answer: asyncio.Future[Answer]


def read_key(header: str | None) -> str | None:
    """The key of an ``Idempotency-Key`` header, with or without the quotes of a structured field.

    Raises:
        Problem: 400; empty, longer than 255 characters, or not printable ASCII.
    """
    if header is None:
        return None
    key = header.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not 1 <= len(key) <= KEY_LENGTH_MAX or not key.isascii() or not key.isprintable():
        raise malformed(f"header Idempotency-Key must be 1 to {KEY_LENGTH_MAX} printable ASCII characters")
    return key


class IdempotentAnswers:
    """Answers by key, the newest ``KEYS_MAX`` of them. Belongs to one event loop."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys_max = keys_max
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    async def once(self, key: str, request: bytes, work: Callable[[], Awaitable[Answer]]) -> tuple[Answer, bool]:
        """The answer of ``work``, and whether it is an earlier one. Requests of one key that overlap share one run.

        What ``work`` raises is raised to all that wait for it, and is not remembered: the next request runs again.

        Raises:
            Problem: 422; the key was used for another request.
        """
        fingerprint = hashlib.sha256(request).digest()
        known = self._entries.get(key)
        if known is not None:
            if known.fingerprint != fingerprint:
                raise Problem(
                    422,
                    "idempotency-key-reused",
                    "The idempotency key stands for another request",
                    f"Idempotency-Key {key!r} came with another body before: use a new key for a new request",
                )
            self._entries.move_to_end(key)
            return await asyncio.shield(known.answer), True
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._entries[key] = _Entry(fingerprint, answer)
        while len(self._entries) > self._keys_max:
            self._entries.popitem(last=False)
        try:
            made = await work()
        except BaseException as error:
            self._entries.pop(key, None)
            if isinstance(error, Exception):
                answer.set_exception(error)
                answer.exception()  # nobody else may be waiting, which is no mistake
            else:
                answer.cancel()
            raise
        answer.set_result(made)
        return made, False
