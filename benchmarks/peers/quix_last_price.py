"""Quix Streams on the same fold: state per key in RocksDB with a changelog, the read model sent per event.

Its own defaults, but for offsets committed as often as ours. Runs in an environment of its own: see ``environment``.
"""

from __future__ import annotations

from typing import Any

from quixstreams import Application  # type: ignore[import-not-found]

from benchmarks.peers.last_price import decoder, fold, given


def main() -> None:
    """Runs until SIGTERM."""
    app = Application(
        broker_address=given("broker"),
        consumer_group=given("group"),
        auto_offset_reset="earliest",
        state_dir=given("folder"),
        commit_interval=float(given("commit_s")),
        loglevel="WARNING",
    )
    trades = app.topic(given("topic"), key_deserializer="bytes", value_deserializer="bytes")
    changed = app.topic(given("out"), key_serializer="bytes", value_serializer="json")
    decode = decoder()

    def last_price(value: bytes, state: Any) -> Any:
        new = fold(state.get("state"), decode(value))
        state.set("state", new)
        return new

    app.dataframe(trades).apply(last_price, stateful=True).to_topic(changed)
    app.run()


if __name__ == "__main__":
    main()
