"""Encoding and decoding against confluent-kafka's own Avro serializer and deserializer, on the same records.

Both sides make and read the same frames (checked before anything is timed), both know their schema beforehand, so no
registry is asked. Their turns alternate within one run, the processor time of the thread is counted, and the median of
the rounds is shown: a machine that slows down or has other work does so for both.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from confluent_kafka.schema_registry import SchemaRegistryClient, topic_subject_name_strategy
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from tradewire.schemas import Catalogue, Codec, FixedIds

TYPES = ("market.trade.reported", "market.quote.updated", "trading.order.filled")
RECORDS = 2_000
ROUNDS = 15
START_NS = 1_723_161_255_342_000_001
SYMBOLS = (("BTCUSDT", 61_837_63, 2), ("ETHUSDT", 2_680_11, 2), ("SOLUSDT", 155_482, 3), ("DOGEUSDT", 104_270, 6))


@dataclass(frozen=True, slots=True)
class CodecRow:
    """One comparison: microseconds a record, the median of the rounds."""

    type: str
    operation: str
    theirs_us: float
    ours_us: float

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.theirs_us / self.ours_us


def records(type: str, count: int = RECORDS, seed: int = 7) -> list[dict[str, Any]]:
    """Records as a feed or a gateway makes them: prices walk, quantities and ids differ from record to record."""
    pick = random.Random(seed)
    prices = {symbol: price for symbol, price, _ in SYMBOLS}
    made = []
    for number in range(count):
        symbol, _, places = pick.choice(SYMBOLS)
        prices[symbol] += pick.randrange(-40, 41)
        unscaled, time_ns = prices[symbol], START_NS + number * 1_734_211 + pick.randrange(1_000_000)
        made.append(_MAKERS[type](number, symbol, unscaled, places, time_ns, pick))
    return made


def _amount(unscaled: int, places: int) -> Decimal:
    return Decimal((0, tuple(map(int, str(unscaled))), -places))


def _trade(n: int, symbol: str, unscaled: int, places: int, time_ns: int, pick: random.Random) -> dict[str, Any]:
    return {
        "venue": "binance.spot",
        "symbol": symbol,
        "trade_id": str(3_741_000_000 + n),
        "price": _amount(unscaled, places),
        "quantity": _amount(pick.randrange(1, 500_000), 5),
        "aggressor_side": pick.choice(("BUY", "SELL")),
        "trade_time_ns": time_ns,
        "received_time_ns": time_ns + 1_250_000,
    }


def _quote(n: int, symbol: str, unscaled: int, places: int, time_ns: int, pick: random.Random) -> dict[str, Any]:
    return {
        "venue": "binance.spot",
        "symbol": symbol,
        "bid_price": _amount(unscaled, places),
        "bid_quantity": _amount(pick.randrange(1, 5_000_000), 5),
        "ask_price": _amount(unscaled + 1, places),
        "ask_quantity": _amount(pick.randrange(1, 5_000_000), 5),
        "update_id": 49_900_000_000 + n,
        "quote_time_ns": time_ns,
        "received_time_ns": None,
    }


def _fill(n: int, symbol: str, unscaled: int, places: int, time_ns: int, pick: random.Random) -> dict[str, Any]:
    quantity = pick.randrange(1, 500_000)
    return {
        "order_id": f"o-{n // 3:08d}",
        "account": "main",
        "symbol": symbol,
        "venue": "binance.spot",
        "strategy": "grid-7",
        "fill_id": f"f-{n:08d}",
        "side": pick.choice(("BUY", "SELL")),
        "price": _amount(unscaled, places),
        "quantity": _amount(quantity, 5),
        "cumulative_quantity": _amount(quantity * 2, 5),
        "leaves_quantity": Decimal(0),
        "fee": _amount(quantity, 8),
        "fee_currency": "USDT",
        "liquidity": "MAKER",
        "venue_order_id": str(28_000_000_000 + n),
        "trade_id": None,
        "fill_time_ns": time_ns,
    }


_MAKERS = {"market.trade.reported": _trade, "market.quote.updated": _quote, "trading.order.filled": _fill}


def compare(type: str, *, count: int = RECORDS, rounds: int = ROUNDS) -> list[CodecRow]:
    """Times encoding and decoding of ``count`` records of a type; fails if the two sides do not agree on them."""
    catalogue = Catalogue.load()
    schema = catalogue[type].latest
    topic = f"{type.split('.', 1)[0]}.events"
    client = SchemaRegistryClient.new_client({"url": f"mock://{type}"})
    strategy = {"subject.name.strategy": topic_subject_name_strategy}
    serializer = AvroSerializer(client, schema.text, conf=strategy)
    deserializer = AvroDeserializer(client, conf=strategy)
    context = SerializationContext(topic, MessageField.VALUE)
    codec = Codec(catalogue, FixedIds())
    encode = codec.encoder(type, topic)
    data = records(type, count)
    theirs, ours = [serializer(item, context) for item in data], [encode(item) for item in data]
    if [value[5:] for value in theirs if value] != [value[5:] for value in ours]:
        raise AssertionError(f"{type}: the bytes differ")
    if [deserializer(value, context) for value in theirs] != [codec.decode(value).data for value in ours]:
        raise AssertionError(f"{type}: the decoded data differ")
    encoded = _alternate(rounds, data, lambda item: serializer(item, context), data, encode)
    decoded = _alternate(rounds, theirs, lambda value: deserializer(value, context), ours, codec.decode)
    return [CodecRow(type, "encode", *encoded), CodecRow(type, "decode", *decoded)]


def _alternate(
    rounds: int,
    their_items: Sequence[Any],
    their_call: Callable[[Any], Any],
    our_items: Sequence[Any],
    our_call: Callable[[Any], Any],
) -> tuple[float, float]:
    theirs, ours = [], []
    for _ in range(rounds):
        theirs.append(_time_us(their_items, their_call))
        ours.append(_time_us(our_items, our_call))
    return statistics.median(theirs), statistics.median(ours)


def _time_us(items: Sequence[Any], call: Callable[[Any], Any]) -> float:
    gc.collect()
    begin = time.thread_time_ns()
    for item in items:
        call(item)
    return (time.thread_time_ns() - begin) / len(items) / 1000


def run(*, count: int = RECORDS, rounds: int = ROUNDS) -> list[CodecRow]:
    """The rows of all ``TYPES``; some seconds."""
    return [row for type in TYPES for row in compare(type, count=count, rounds=rounds)]


def table(rows: Sequence[CodecRow]) -> str:
    """The rows as text, one a line."""
    lines = [f"{'event type':<24}{'':<8}{'confluent µs':>14}{'tradewire µs':>14}{'times faster':>14}"]
    lines += [f"{r.type:<24}{r.operation:<8}{r.theirs_us:>14.2f}{r.ours_us:>14.2f}{r.ratio:>14.1f}" for r in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(run()))
