"""``python -m tradewire.gateway``: one gateway process, until SIGTERM or SIGINT."""

from __future__ import annotations

import ipaddress
import signal
import sys
from types import FrameType

import uvicorn

from tradewire.core import TradewireError, configure_logs, get_logger, load_settings
from tradewire.gateway.app import create_app

_log = get_logger(__name__)


def main() -> int:
    """Exit code 0 after a signal, 1 with the reason on stderr when a setting is wrong or the port is taken."""
    try:
        settings = load_settings()
        configure_logs(settings.log.level, settings.log.format, component="gateway")
        gateway = settings.gateway
        if not _is_loopback(gateway.host):
            _log.warning("the gateway has no authentication and listens beyond loopback", host=gateway.host)
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(settings),
                host=gateway.host,
                port=gateway.port,
                log_config=None,
                access_log=False,
                lifespan="on",
                timeout_graceful_shutdown=10,
                server_header=False,
            )
        )
        # uvicorn stops in good order and then raises the signal again, which would look like a crash.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _end)
        server.run()
        return 0 if server.started else 1
    except SystemExit as end:
        # Of ours: 0. uvicorn ends the process itself when it cannot listen, and has said why in the log.
        return 0 if end.code == 0 else 1
    except TradewireError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(0)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


if __name__ == "__main__":
    sys.exit(main())
