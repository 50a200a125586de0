"""Event ids: time-ordered and random by default, derived when the same cause must give the same id."""

from __future__ import annotations

import uuid_utils

_NAMESPACE = uuid_utils.UUID("6f9619ff-8b86-5011-b42d-00c04fc964ff")


def new_id() -> str:
    """A UUIDv7 (RFC 9562): ids made later by one process sort later, to the millisecond."""
    return str(uuid_utils.uuid7())


def derived_id(*parts: str | int) -> str:
    """A UUIDv5 of the parts: the same parts give the same id in every process, for ever.

    Used for idempotency keys and for outputs of processors, where a redelivered input must produce the same output id.
    Parts are joined by a unit separator, so ``("a", "bc")`` and ``("ab", "c")`` differ.
    """
    return str(uuid_utils.uuid5(_NAMESPACE, "\x1f".join(str(part) for part in parts)))
