"""Price times quantity in SQL: ``notional`` is exact where the plain product wraps around."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from tests.sinks.samples import batch_of, data_of, event_of, framed

from tradewire.schemas import Catalogue, FixedIds, encode_headers
from tradewire.sinks.container import build_block
from tradewire.sinks.notional import notional_of
from tradewire.sinks.records import Record
from tradewire.sinks.row_shape import RowShape
from tradewire.sinks.store import Store
from tradewire.sinks.tables import Tables
from tradewire.sinks.typed_columns import column_names

CATALOGUE = Catalogue.load()
FILLED = CATALOGUE["trading.order.filled"].latest
AMOUNT, OTHER = "Decimal(38, 18)", "Decimal(38, 12)"
LARGEST = Decimal("99999999999999999999.999999999999999999")
SMALLEST = Decimal("0.000000000000000001")
FILLS = [(Decimal(60_040 + at) + Decimal("0.12"), Decimal("0.1")) for at in range(5)]


def made(store: Store) -> Tables:
    tables = Tables(store, CATALOGUE, FixedIds(), 1_000)
    tables.ensure()
    return tables


def fill(store: Store, amounts: list[tuple[Decimal, Decimal]], first: int = 0) -> None:
    """Rows of fills as the sink inserts them."""
    records = []
    for offset, (price, quantity) in enumerate(amounts, start=first):
        event = event_of(FILLED, offset, data={**data_of(FILLED, 1), "price": price, "quantity": quantity})
        records.append(Record(offset, 1, b"k", framed(FILLED, 7, event.data), encode_headers(event)))
    shape = RowShape.of(7, FILLED.type, FILLED.schema)
    block = build_block(batch_of(records, "trading.events"), range(len(records)), shape)
    store.insert_avro("landing_trading_order_filled_v1", block.body, token=f"fills {first}")


def asked(store: Store, what: str, table: str = "trading_order_filled") -> Decimal:
    return Decimal(str(store.query(f"SELECT toString({what}) FROM `{store.database}`.{table}")[0][0]))


def columns(store: Store, condition: str) -> set[tuple[str, str]]:
    sql = "SELECT table, name FROM system.columns WHERE database = {database:String} AND "
    return {(str(table), str(name)) for table, name in store.query(sql + condition, {"database": store.database})}


def test_what_was_traded_is_summed_to_the_last_digit(store: Store) -> None:
    """The plain product is what the pages warn of: should it ever be right, the warning can go. The largest and the
    smallest amounts that there are have a notional too."""
    made(store)
    fill(store, FILLS)
    traded = sum((price * quantity for price, quantity in FILLS), Decimal())

    assert Decimal("30021.06") == traded
    assert traded == asked(store, "sum(notional)") == asked(store, "sum(toDecimal256(price, 18) * quantity)")
    assert traded == asked(store, "sum(multiplyDecimal(price, quantity, 18))")
    assert traded != asked(store, "sum(price * quantity)")
    fill(store, [(LARGEST, LARGEST.copy_negate()), (SMALLEST, SMALLEST)], first=10)
    with localcontext() as exact:
        exact.prec = 80
        assert -LARGEST * LARGEST == asked(store, "min(notional)")
    assert SMALLEST * SMALLEST == asked(store, "minIf(notional, notional > 0)")


def test_a_table_of_an_earlier_release_gets_it_and_takes_events_on(store: Store) -> None:
    """``SELECT *`` has none of it; read models, which have the price of one trade alone, lack it."""
    made(store)
    fill(store, FILLS[:2])
    store.command(f"ALTER TABLE `{store.database}`.trading_order_filled DROP COLUMN notional")
    made(store)
    fill(store, FILLS[2:], first=2)

    assert sum((price * quantity for price, quantity in FILLS), Decimal()) == asked(store, "sum(notional)")
    assert {("market_trade_reported", "notional"), ("trading_order_filled", "notional")} == columns(
        store, "name = 'notional' AND default_kind = 'ALIAS'"
    )
    stored = columns(store, "table = 'trading_order_filled' AND default_kind != 'ALIAS'")
    assert len(stored) == len(store.query(f"SELECT * FROM `{store.database}`.trading_order_filled LIMIT 1")[0])


@pytest.mark.parametrize(
    ("fields", "type", "expression"),
    [
        ({"price": AMOUNT, "quantity": AMOUNT}, "Decimal(76, 36)", "toDecimal256(price, 18) * quantity"),
        ({"price": OTHER, "quantity": AMOUNT}, "Decimal(76, 30)", "toDecimal256(price, 12) * quantity"),
        (
            {"price": f"Nullable({AMOUNT})", "quantity": AMOUNT},
            "Nullable(Decimal(76, 36))",
            "toDecimal256(price, 18) * quantity",
        ),
    ],
)
def test_scale_and_null_follow_from_the_fields(fields: dict[str, str], type: str, expression: str) -> None:
    found = notional_of(fields)

    assert found is not None
    assert (type, expression) == (found.type, found.expression)


@pytest.mark.parametrize(
    "fields",
    [
        {"price": AMOUNT},
        {"price": "Float64", "quantity": AMOUNT},
        {"price": "Decimal(40, 18)", "quantity": AMOUNT},
        {"price": AMOUNT, "quantity": AMOUNT, "notional": "String"},
    ],
    ids=["no quantity", "a float", "too many digits", "a field of that name"],
)
def test_there_is_none_where_it_could_not_be_right(fields: dict[str, str]) -> None:
    assert notional_of(fields) is None


def test_a_later_field_of_that_name_gets_a_column_that_can_be_written() -> None:
    """What is computed takes no field, even of the same type."""
    present = {"price": AMOUNT, "notional": "ALIAS Decimal(76, 36)"}

    assert {"notional": "notional_v2"} == column_names({"notional": "Decimal(76, 36)"}, present, "v2", breaking=False)
