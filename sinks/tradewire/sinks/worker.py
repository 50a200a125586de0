"""``python -m tradewire.sinks.worker``: one sink process, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import gc
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from tradewire.core import TradewireError, configure_logs, get_logger, load_settings
from tradewire.schemas import Contract
from tradewire.sinks.metrics import serve_metrics
from tradewire.sinks.sink import Sink

_log = get_logger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 after a signal, 1 with the reason on stderr when the sink cannot go on."""
    parser = argparse.ArgumentParser(prog="python -m tradewire.sinks.worker", description="Stores Kafka in ClickHouse.")
    parser.add_argument(
        "--instance-id",
        help="static member of the group: comes back at once, unless with other topics; unique per process",
    )
    parser.add_argument("--session-timeout-ms", type=int, default=10_000, help="default: %(default)s")
    given = parser.parse_args(arguments)
    try:
        settings = load_settings()
        configure_logs(settings.log.level, settings.log.format, component="sink")
        sink = Sink(
            settings,
            Contract.load(settings),
            instance_id=given.instance_id,
            session_timeout_ms=given.session_timeout_ms,
        )

        # A batch is a million small objects that refer to nothing: looking for cycles among them took half of the time.
        gc.freeze()
        gc.set_threshold(1_000_000, 10, 10)

        def end(_number: int, _frame: FrameType | None) -> None:
            sink.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        if settings.sink.metrics_port is not None:
            serve_metrics(settings.sink.metrics_port)
        sink.run()
    except TradewireError as error:
        _log.error("sink_ended", error=str(error))
        print(f"error: {error}", file=sys.stderr)
        return 1
    _log.info("sink_stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
