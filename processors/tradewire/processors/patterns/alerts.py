"""What a match is said as: the data of ``risk.alert.raised`` and ``market.alert.triggered``. Pure.

Data and id are functions of the pattern, its key and the events of the match: a match found again after a crash is said
again as the same event.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from tradewire.core.ids import derived_id
from tradewire.processors.amounts import rounded
from tradewire.processors.durations import span_text
from tradewire.processors.patterns.declared import MARKET_ALERT, Pattern
from tradewire.processors.patterns.rules import AbsenceWithin, ChangeWithin, CountWithin, Match, SequenceWithin

_FIELDS: Final = ("account", "strategy", "symbol")
_LARGEST: Final = Decimal("9.9E19")


def match_id(pattern: Pattern, key: str, match: Match) -> str:
    """The event id of a match."""
    return derived_id("pattern", pattern.name, key, match.first.event_id, match.last.event_id)


def alert_data(pattern: Pattern, key: str, match: Match) -> dict[str, Any]:
    """The data of the event that the pattern raises."""
    return _market_alert(pattern, key, match) if pattern.raises == MARKET_ALERT else _risk_alert(pattern, key, match)


def alert_key(pattern: Pattern, key: str, match: Match) -> str:
    """The aggregate of that event, its ``alert_id``."""
    return f"{pattern.name}:{key}" if pattern.raises == MARKET_ALERT else match_id(pattern, key, match)


def _risk_alert(pattern: Pattern, key: str, match: Match) -> dict[str, Any]:
    observed, limit, unit = _figures(pattern, match)
    return {
        "alert_id": alert_key(pattern, key, match),
        "rule": pattern.name,
        "severity": pattern.severity,
        "message": _said(pattern, key, match),
        **({pattern.per: key} if key and pattern.per in _FIELDS else {}),
        "observed": observed,
        "limit_value": limit,
        "unit": unit,
        "action": "NONE",
    }


def _market_alert(pattern: Pattern, key: str, match: Match) -> dict[str, Any]:
    assert isinstance(pattern.rule, ChangeWithin) and match.observed is not None
    venue, _, symbol = key.rpartition(":")
    return {
        "alert_id": alert_key(pattern, key, match),
        "symbol": symbol,
        "venue": venue or None,
        "condition": "PRICE_CHANGE",
        "threshold": rounded(pattern.rule.ratio),
        "observed": _ratio(match.observed),
        "message": _said(pattern, key, match),
        "trigger_time_ns": match.time_ns,
    }


def _figures(pattern: Pattern, match: Match) -> tuple[Decimal | None, Decimal | None, str | None]:
    match pattern.rule:
        case CountWithin() as rule:
            return rounded(Decimal(match.events)), rounded(Decimal(rule.count)), "count"
        case ChangeWithin() as rule:
            return _ratio(match.observed or Decimal(0)), rounded(rule.ratio), "ratio"
    return None, None, None


def _ratio(observed: Decimal) -> Decimal:
    # A price may be a trillion times another; the field holds twenty digits before the point.
    return rounded(min(observed, _LARGEST))


def _said(pattern: Pattern, key: str, match: Match) -> str:
    within, of = span_text(pattern.within_ns), f" for {key}" if key else ""
    match pattern.rule:
        case CountWithin():
            return f"{match.events} {match.last.type} within {within}{of}"
        case ChangeWithin():
            return f"{pattern.value} moved by {float(match.observed or 0):+.2%} within {within}{of}"
        case SequenceWithin():
            return f"{match.first.type} to {match.last.type} within {within}{of}"
        case AbsenceWithin() as rule:
            return f"no {' or '.join(sorted(rule.missing))} within {within} after {match.first.type}{of}"
    return pattern.name
