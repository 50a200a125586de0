"""What a trading service writes against the installed wheel; type-checked, never run. Exactly one line is wrong."""

from decimal import Decimal

from tradewire.core import Settings, TradewireError, correlation, load_settings
from tradewire.producers import Publisher
from tradewire.schemas import Catalogue, Event


def publish(settings: Settings) -> str:
    with Publisher(settings) as publisher, correlation():
        delivery = publisher.publish("trading.order.created", {"quantity": Decimal("1")}, subject="o-1")
        return delivery.event_id


def read(event: Event) -> int:
    return event.time_ns


def names(catalogue: Catalogue) -> list[str]:
    return [type.name for type in catalogue.values()]


def wrong(error: TradewireError) -> int:
    return error.message  # the deliberate mistake: a str where an int is promised


publish(load_settings())
