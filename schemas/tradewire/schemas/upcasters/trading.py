"""Upcasters of the domain ``trading``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def order_rejected_v2(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """v1 had one free text; v2 has a kind and the text. Only what v1 says for certain becomes a kind."""
    return {
        **data,
        "reason": "RISK_LIMIT" if data["rejected_by"] == "RISK" else "UNKNOWN",
        "text": data["reason"],
    }
