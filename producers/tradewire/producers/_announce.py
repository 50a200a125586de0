"""What a publisher publishes about itself: that an outage is over."""

from __future__ import annotations

import time
from typing import Any, Final

from confluent_kafka import KafkaException

from tradewire.core import TradewireError, get_logger, new_id
from tradewire.producers._lanes import Lane
from tradewire.producers._outage import Outage
from tradewire.schemas import Contract, Event, encode_headers

_log = get_logger(__name__)
TYPE: Final = "system.warning.raised"


def announce(contract: Contract, lane: Lane, component: str, outage: Outage) -> None:
    """Queues a ``system.warning.raised`` of type ``delivery_interrupted``; failing that, the log has it. Not counted as
    published: nobody asked for it.
    """
    id = new_id()
    data = {
        "component": component,
        "warning_type": "delivery_interrupted",
        "message": f"Deliveries stood still for {outage.duration_ms} ms; {outage.spooled} events waited on disk, and "
        f"{outage.turned_away} found no room there.",
        "details": {
            "duration_ms": str(outage.duration_ms),
            "spooled": str(outage.spooled),
            "turned_away": str(outage.turned_away),
        },
    }
    try:
        topic = contract.topic_of(TYPE)
        if topic not in outage.topics:
            _log.warning("no topic for the warning about the outage", topic=topic)
            return
        event = Event(
            id=id, type=TYPE, data=data, source=component, subject=component, time_ns=time.time_ns(), correlation_id=id
        )
        value = contract.codec.encode(TYPE, data, topic)
        lane.produce(topic, value, component, -1, _settled, None, 0, list(encode_headers(event)))
    except (TradewireError, KafkaException, BufferError) as error:
        _log.warning("the warning about the outage was not published", error=str(error))


def _settled(error: Any, _message: Any) -> None:
    if error is not None:
        _log.warning("the warning about the outage was not confirmed", error=str(error))
