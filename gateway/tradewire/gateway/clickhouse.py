"""The gateway's client of ClickHouse: made when first needed, so that the gateway starts while ClickHouse is away."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from typing import TypeVar

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from tradewire.core import ClickHouseUnavailable
from tradewire.core.settings import ClickHouseSettings
from tradewire.gateway.problems import engine_problem
from tradewire.sinks.store import connect

_T = TypeVar("_T")
_REASON = re.compile(r"\[Errno -?\d+\] [A-Za-z ]+")


class ClickHouse:
    """One client without a session and without a database of its own, shared by threads."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._making = threading.Lock()

    def client(self) -> Client:
        """The client; connects if there is none yet.

        Raises:
            ClickHouseUnavailable: nobody answers; the next call tries again.
        """
        with self._making:
            if self._client is None:
                try:
                    self._client = connect(self._settings)
                except ClickHouseUnavailable as error:
                    raise self._away(error) from error
            return self._client

    def ask(self, call: Callable[[Client], _T]) -> _T:
        """Runs a call of the client.

        Raises:
            ClickHouseUnavailable: no answer.
            Problem: the engine refuses it (``tradewire.gateway.problems.engine_problem``).
        """
        client = self.client()
        try:
            return call(client)
        except ClickHouseError as error:
            code = getattr(error, "code", None)
            if code is None:
                raise self._away(error) from error
            raise engine_problem(int(code), str(error)) from error
        except OSError as error:
            raise self._away(error) from error

    def close(self) -> None:
        with self._making:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _away(self, error: Exception) -> ClickHouseUnavailable:
        return ClickHouseUnavailable(
            f"ClickHouse at {self._settings.host}:{self._settings.port} does not answer as it should: {_reason(error)}"
        )


def _reason(error: BaseException) -> str:
    """The innermost words of an error: the HTTP library wraps "Connection refused" in three layers of its own."""
    text = str(error)
    found = _REASON.findall(text)
    return found[-1] if found else text
