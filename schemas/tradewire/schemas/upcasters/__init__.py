"""Upcasters: pure functions from the data of one version to that of the next, for the steps that Avro cannot take.

An upcaster gets the data of the last version before the step as a dict of its own and returns data of the version it
belongs to; fields with a default may be left out. It does no I/O, reads no clock and keeps nothing, so that the same
record reads the same in ten years. What it may raise, and data that do not fit, are reported as ``UpcastFailed``.

Ours are listed here; a user's lies in a file ``v<N>.py`` beside its ``v<N>.avsc``, as a function ``upcast``. No schema
names code: a schema may come from a registry, and its text may never change once it is registered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from tradewire.schemas.upcasters import trading

Upcaster = Callable[[Mapping[str, Any]], Mapping[str, Any]]

BUILT_IN: Final[Mapping[tuple[str, int], Upcaster]] = {
    ("trading.order.rejected", 2): trading.order_rejected_v2,
}
"""By event type and the version that comes out."""
