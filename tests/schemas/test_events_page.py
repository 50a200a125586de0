"""`docs/events.md`: made from the files, complete, with every name of the systems that came before."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tradewire.core import UnknownEventType
from tradewire.schemas import Catalogue, Topics
from tradewire.schemas.generate.events_page import events_page

PAGE = Path(__file__).parents[2] / "docs" / "events.md"
CATALOGUE = Catalogue.load()
TOPICS = Topics.load()

# Every event name in the predecessors' documents, by their letter, as they write it.
PREDECESSORS = {
    "P": """discord.message.received discord.message.processed bot.connected channel.scanned ingestion.message.stored
        parsing.setup.parsed setup.created setup.parsed signal.triggered alert:price ticker:data cleanup
        system.error system.warning system.info""",
    "E": """market_data_received analysis_completed strategy_formulated trade_decision_made trade_executed risk_alert
        performance_update model_updated system_error component_started component_stopped system_health_check
        configuration_changed snapshot_created""",
    "M": """trade candle price_update liquidity_update order_created order_filled order_cancelled position_opened
        position_closed signal_generated strategy_started strategy_stopped parameter_updated error warning info
        health_check""",
    "R": """MARKET_DATA_UPDATE TRADING_SIGNAL ORDER_EXECUTED PORTFOLIO_UPDATE RISK_ALERT ML_MODEL_UPDATE RL_MODEL_UPDATE
        RL_ACTION_TAKEN FEATURE_VECTOR_UPDATE ALTERNATIVE_DATA_UPDATE SENTIMENT_DATA_UPDATE ONCHAIN_DATA_UPDATE
        ECONOMIC_DATA_UPDATE BACKTEST_REQUEST BACKTEST_COMPLETED MULTI_SYMBOL_BACKTEST_REQUEST
        STRATEGY_OPTIMIZATION_REQUEST SYSTEM_HEALTH MARKET_REGIME_CHANGE""",
}


def rows() -> dict[str, list[str]]:
    """The cells of each event type's row in the table of its domain."""
    found = re.findall(r"^\| \[`([a-z0-9_.]+)`\]\(#([a-z0-9_]+)\) \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return {name: [anchor, *cells.split(" | ")] for name, anchor, cells in found}


def test_the_page_is_what_the_files_give() -> None:
    assert PAGE.read_text("utf-8") == events_page(CATALOGUE, TOPICS), "run `tradewire schemas docs`"


def test_every_event_type_has_its_row_and_its_fields() -> None:
    """Meaning, versions, topic and key in the domain's table; below it each field with type, default and meaning."""
    page, found = PAGE.read_text("utf-8"), rows()

    assert list(CATALOGUE) == list(found)
    for name, type in CATALOGUE.items():
        anchor, meaning, versions, topic, key, _ = found[name]
        section = page.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        assert anchor == name.replace(".", "")
        assert str(type.latest.schema["doc"]).startswith(meaning)
        assert [f"v{schema.version}" for schema in type.versions] == versions.replace(" (breaking)", "").split(", ")
        assert any(schema.is_breaking for schema in type.versions) == ("breaking" in versions)
        assert f"`{TOPICS.of_type(type).name}`" == topic
        assert type.latest.schema["tradewire"]["aggregate"].split(":") == key.split(" : ")
        for field in type.latest.schema["fields"]:
            assert f"\n| `{field['name']}` | " in section
            assert f" | {field['doc']} |\n" in section


def test_fields_of_records_inside_are_told_by_their_path() -> None:
    page = PAGE.read_text("utf-8")

    assert "| `holdings[].quantity` | decimal(38, 18) | *required* |" in page
    assert "| `limit_price` | decimal(38, 18) or null | `null` |" in page
    assert '| `side` | Side: UNKNOWN, BUY, SELL | `"UNKNOWN"` |' in page


@pytest.mark.parametrize("letter", PREDECESSORS)
def test_every_name_of_a_predecessor_leads_to_an_event_type(letter: str) -> None:
    """Who migrates looks his event up by the name that he knows; none is left out, none is invented."""
    named = [name for cells in rows().values() for name in cells[5].split("; ")]
    theirs = {name.removeprefix(f"{letter} ") for name in named if name.startswith(f"{letter} ")}

    assert set(PREDECESSORS[letter].split()) == theirs


def test_names_of_fields_and_symbols_keep_one_form() -> None:
    """Columns, attributes and enum members are derived from them: lower case here, capitals there, in all versions."""
    odd = []
    for type in CATALOGUE.values():
        for schema in type.versions:
            pending = [schema.schema]
            while pending:
                part = pending.pop()
                if isinstance(part, dict):
                    odd += [s for s in part.get("symbols", ()) if not re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", s)]
                    names = [field["name"] for field in part.get("fields", ())]
                    odd += [name for name in names if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)]
                    pending += [
                        *part.get("fields", ()),
                        *(part[key] for key in ("type", "items", "values") if key in part),
                    ]
                elif isinstance(part, list):
                    pending += part

    assert [] == odd


def test_a_type_without_a_topic_is_named() -> None:
    with pytest.raises(UnknownEventType, match="no topic is declared for"):
        events_page(CATALOGUE, Topics({}))
