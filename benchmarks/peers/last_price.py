"""The last-price fold as a peer would write it: plain dicts that JSON can hold, fastavro, nothing of ours.

Imported also from an environment that does not have our packages.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import fastavro

State = dict[str, Any]


def given(name: str) -> str:
    """A setting of the run, from the environment: ``BENCH_<NAME>``."""
    return os.environ[f"BENCH_{name.upper()}"]


def decoder() -> Callable[[bytes], Any]:
    """Reads a framed trade; its schema lies in the file that the run names."""
    schema = fastavro.parse_schema(json.loads(Path(given("schema")).read_text(encoding="utf-8")))
    read, stream = fastavro.schemaless_reader, io.BytesIO

    def decode(value: bytes) -> Any:
        return read(stream(value[5:]), schema, None)

    return decode


def fold(state: State | None, trade: Any) -> State:
    """The state after a trade. One older than the newest counts in the totals and does not move the price."""
    time_ns = trade["trade_time_ns"]
    if state is not None:
        volume, count = Decimal(state["volume"]) + trade["quantity"], state["trade_count"] + 1
        if time_ns < state["trade_time_ns"]:
            return {**state, "volume": str(volume), "trade_count": count}
    else:
        volume, count = trade["quantity"], 1
    return {
        "venue": trade["venue"],
        "symbol": trade["symbol"],
        "price": str(trade["price"]),
        "quantity": str(trade["quantity"]),
        "trade_id": trade["trade_id"],
        "trade_time_ns": time_ns,
        "trade_count": count,
        "volume": str(volume),
    }
