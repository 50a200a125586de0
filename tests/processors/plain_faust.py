"""The pinned Faust as its documentation says to use it, for the tests of its faults: a process of its own.

``python plain_faust.py <JSON>`` with ``broker``, ``prefix`` (of topics and groups), ``folder``, ``apps`` (some of those
below), ``release`` (whether events that hang do so no more) and ``commit_s``. It prints a line for each event that an
agent has begun with or is done with. No line of ours is in here, unless ``guards`` names one: what is lost here is lost
by Faust.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import faust
from torn_connections import tear_connections  # beside this script

CONFIG: dict[str, Any] = json.loads(sys.argv[1])
HANG = b"hang"
POISON = b"poison"


def say(what: str, app: str, value: Any) -> None:
    text = value.decode() if isinstance(value, bytes) else value
    print(json.dumps([what, app, text]), flush=True)


def new_app(name: str, **settings: Any) -> faust.App:
    prefix = CONFIG["prefix"]
    Path(CONFIG["folder"]).mkdir(parents=True, exist_ok=True)
    return faust.App(
        f"{prefix}.{name}",
        broker=f"kafka://{CONFIG['broker']}",
        datadir=f"{CONFIG['folder']}/{name}",
        store="rocksdb://",
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        broker_session_timeout=6.0,
        broker_heartbeat_interval=1.0,
        broker_request_timeout=10.0,
        consumer_auto_offset_reset="earliest",
        stream_recovery_delay=0.0,
        autodiscover=False,
        **{"broker_commit_interval": 0.2, **settings},
    )


def events() -> faust.App:
    """Agents without state: one event in work (F1), one that raises (F3, F4), no JSON (F5), no room for it (F6)."""
    app = new_app("events")
    prefix = CONFIG["prefix"]

    def topic(name: str, **more: Any) -> Any:
        return app.topic(f"{prefix}.{name}", **{"value_serializer": "raw", **more})

    @app.agent(topic("hang"), concurrency=2)
    async def hang(stream: Any) -> None:
        async for value in stream:
            say("begun", "hang", value)
            if value == HANG and not CONFIG["release"]:
                await asyncio.sleep(3_600)
            say("done", "hang", value)

    @app.agent(topic("raise"))
    async def raise_(stream: Any) -> None:
        async for value in stream:
            say("begun", "raise", value)
            if value == POISON and not CONFIG["release"]:
                raise ValueError("a fault that passes")
            say("done", "raise", value)

    @app.agent(topic("take"))
    async def take(stream: Any) -> None:
        async for values in stream.take(2, within=1.0 if CONFIG["release"] else 600.0):
            for value in values:
                say("begun", "take", value)
                if value == POISON and not CONFIG["release"]:
                    raise ValueError("a fault that passes")
                say("done", "take", value)

    @app.agent(topic("decode", value_serializer="json"))
    async def decode(stream: Any) -> None:
        async for value in stream:
            say("done", "decode", value)

    small = topic("small")

    @app.agent(topic("send"))
    async def send(stream: Any) -> None:
        async for value in stream:
            await small.send(value=value)
            say("done", "send", value[:8])

    return app


def counts() -> faust.App:
    """A table that counts events by key (F10, F12)."""
    prefix = CONFIG["prefix"]
    app = new_app("counts", broker_commit_interval=CONFIG["commit_s"])
    changelog = app.topic(
        f"{prefix}.counts-changelog", key_serializer="raw", value_serializer="json", partitions=1, internal=True
    )
    table = app.Table("counts", default=int, partitions=1, changelog_topic=changelog, key_type=bytes)

    @app.agent(app.topic(f"{prefix}.count", key_type=bytes, key_serializer="raw", value_serializer="raw"))
    async def count(stream: Any) -> None:
        async for key, value in stream.items():
            table[key] += 1
            say("done", "count", value)

    return app


async def main() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    apps = [{"events": events, "counts": counts}[name]() for name in CONFIG["apps"]]
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: tear_connections(apps[0]))
    watches = []
    for app in apps:
        app.finalize()
        if "recovery" in CONFIG["guards"]:
            from tradewire.core.settings import KafkaSettings
            from tradewire.processors._recovery import RecoveryWatch
            from tradewire.processors.liveness import Progress

            kafka = KafkaSettings(bootstrap_servers=CONFIG["broker"])
            watch = RecoveryWatch(app, kafka, Progress(Path(CONFIG["folder"])), lambda: 0.0)
            watches.append(asyncio.create_task(watch.run()))
        await app.start()
    say("started", "", "")
    await stop.wait()


if __name__ == "__main__":
    if CONFIG["uvloop"]:
        import uvloop

        uvloop.install()
    if "connections" in CONFIG["guards"]:
        from tradewire.processors import _aiokafka_on_uvloop

        _aiokafka_on_uvloop.install()
    asyncio.run(main())
