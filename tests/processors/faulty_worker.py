"""The real worker with one record whose work never ends: ``TRADEWIRE_TEST_HOLD=topic:partition:offset``.

Everything of it is done, its outputs and states stand; only the ledger is never told. So it is in work, as far as
commits are concerned, while records behind it are done.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from tradewire.processors.ledger import Claim, Ledger
from tradewire.processors.worker import main

_settle = Ledger.settle


def _hold(ledger: Ledger[Any], claim: Claim[Any]) -> None:
    topic, partition, offset = os.environ["TRADEWIRE_TEST_HOLD"].split(":")
    held = (claim.partition.topic, claim.partition.partition) == (topic, int(partition))
    if not (held and claim.first <= int(offset) <= claim.last):
        _settle(ledger, claim)


if __name__ == "__main__":
    Ledger.settle = _hold  # type: ignore[method-assign]
    sys.exit(main())
