"""Structured logs: JSON lines for machines, coloured lines on a terminal. Each line carries the current correlation."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog

from tradewire.core.correlation import current_correlation

LogFormat = Literal["auto", "json", "console"]
# HTTP clients that log each request at INFO: the registry's, and clickhouse-connect's pool.
_CHATTY = ("httpx", "httpx2", "httpcore", "urllib3")


def _add_correlation(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    current = current_correlation()
    if current is not None:
        event.setdefault("correlation_id", current.correlation_id)
        if current.causation_id is not None:
            event.setdefault("causation_id", current.causation_id)
    return event


def configure_logs(level: str = "INFO", format: LogFormat = "auto", component: str | None = None) -> None:
    """Sends our logs and the standard library's to stderr in one format. Global; the last call wins.

    ``auto`` means console on a terminal and JSON otherwise. stdout stays free for results, so that a pipe is clean.
    """
    as_json = format == "json" or (format == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_correlation,
    ]
    if as_json:
        shared.append(structlog.processors.format_exc_info)
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    if component is not None:
        structlog.contextvars.bind_contextvars(component=component)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A bound logger; usable before ``configure_logs``, which then applies to it as well."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
