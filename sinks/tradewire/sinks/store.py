"""ClickHouse over HTTP as the sink needs it: DDL, one-block inserts with a token, and what is still running."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from uuid import UUID

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from tradewire.core import new_id
from tradewire.core.errors import ClickHouseUnavailable, QueryError, SinkError
from tradewire.core.settings import ClickHouseSettings

_T = TypeVar("_T")
# The engine's limits of one block; an insert below them is one part per table, all or nothing.
_BLOCK_ROWS_MAX: Final = 1_048_449
INSERT_SETTINGS: Final[Mapping[str, Any]] = {
    "async_insert": 0,
    "insert_deduplicate": 1,
    "deduplicate_insert": "enable",
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "materialized_views_ignore_errors": 0,
    "max_insert_block_size": _BLOCK_ROWS_MAX,
    "min_insert_block_size_rows": _BLOCK_ROWS_MAX,
    "min_insert_block_size_bytes": 1 << 30,
    "max_insert_threads": 1,
    "input_format_parallel_parsing": 0,
    "input_format_avro_allow_missing_fields": 0,
    "input_format_avro_null_as_default": 0,
    # A price in JSON stays the text it is; as a number it would become a float.
    "output_format_json_quote_decimals": 1,
    "output_format_json_quote_64bit_integers": 0,
}
# What the engine answers when the bytes are at fault: a violated constraint, data it cannot parse. Errors of its Avro
# library come under the codes for anything unexpected and are told by their name.
_DATA_ERRORS: Final = frozenset((6, 26, 27, 32, 33, 38, 41, 49, 69, 72, 117, 131, 321, 349, 407, 441, 469))


# What to do about some of the engine's codes, where its text does not say it.
_CAUSES: Final = {
    243: ". The disk of its data folder (`SELECT path FROM system.disks`) is full: make room there",
    516: ". Are clickhouse.username and clickhouse.password right?",
}
_SYSTEM_ERROR: Final = re.compile(r"\[Errno -?\d+\] ([^'\")\]]+)|(?<!\w)(timed out)")
_PROJECTIONS_FROM: Final = "min_table_rows_to_use_projection_index"


class BlockRefused(SinkError):
    """Raised when ClickHouse cannot parse a block; nothing of it is stored. The sink then finds the record at fault."""


def connect(settings: ClickHouseSettings, *, database: str | None = None, compress: bool = True) -> Client:
    """A client without a session, so that its queries may run side by side in threads.

    ``compress`` asks for packed answers.

    Raises:
        ClickHouseUnavailable: nobody answers, or the answer is not ClickHouse's; names host and port.
    """
    try:
        client = clickhouse_connect.get_client(
            host=settings.host,
            port=settings.port,
            username=settings.username,
            password=settings.password.get_secret_value(),
            database=database or "__default__",
            interface="https" if settings.secure else "http",
            connect_timeout=min(10, max(1, settings.timeout_ms // 1000)),
            send_receive_timeout=settings.timeout_ms // 1000,
            query_retries=0,
            compress=compress,
            autogenerate_session_id=False,
            client_name="tradewire",
        )
        # Below a million rows the engine would read a table whole and not look into its order by flow or aggregate.
        if _PROJECTIONS_FROM in client.server_settings:
            client.set_client_setting(_PROJECTIONS_FROM, 0)
        return client
    except (ClickHouseError, OSError) as error:
        raise unavailable(settings, error) from error


def unavailable(settings: ClickHouseSettings, error: Exception) -> ClickHouseUnavailable:
    """What an exception of the client means, with host and port, and with the setting or the disk to look at."""
    where, code = f"{settings.host}:{settings.port}", getattr(error, "code", None)
    if code is None:
        said = (
            f"does not answer: {cause_of_silence(error)}. Is it up (`tradewire up` starts one), and are "
            "clickhouse.host and clickhouse.port right?"
        )
    else:
        said = f"does not do what it is asked: {error}{_CAUSES.get(code, '')}"
    return ClickHouseUnavailable(f"ClickHouse at {where} {said}", host=where, code=code)


def cause_of_silence(error: Exception) -> str:
    """What the system said, out of the texts that HTTP clients wrap around it."""
    text = str(error)
    found = [match.group(match.lastindex or 0) for match in _SYSTEM_ERROR.finditer(text)]
    return found[-1].strip() if found else text


class Store:
    """One database of one ClickHouse. Connects when first used and again after a failure. Not thread-safe."""

    def __init__(self, settings: ClickHouseSettings) -> None:
        self.database = settings.database
        self._settings = settings
        self._client: Client | None = None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def command(self, sql: str) -> None:
        """Runs DDL. Raises ClickHouseUnavailable; whether it ran is then unknown, so give it only what may repeat."""
        self._ask(lambda client: client.command(sql))

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Rows of a small query. Raises ClickHouseUnavailable."""
        return self._ask(lambda client: client.query(sql, parameters=dict(parameters or {})).result_rows)

    def insert_avro(self, table: str, body: bytes, *, token: str, columns: Sequence[str] | None = None) -> None:
        """Inserts one block, all or nothing; with a token that the table remembers it adds no row anywhere.

        ``columns`` are those that the block has; None means all of the table.

        Raises:
            BlockRefused: the bytes are at fault, nothing is stored.
            ClickHouseUnavailable: whether it is stored is unknown; repeat it with the same token and the same bytes.
        """
        settings = {**INSERT_SETTINGS, "insert_deduplication_token": token, "query_id": query_id_of(token)}
        try:
            self._ask(
                lambda client: client.raw_insert(
                    f"`{self.database}`.`{table}`",
                    list(columns) if columns is not None else None,
                    insert_block=body,
                    fmt="Avro",
                    settings=settings,
                )
            )
        except ClickHouseUnavailable as error:
            if error.context.get("code") in _DATA_ERRORS or "avro::" in str(error):
                raise BlockRefused(f"{table}: {error}") from error
            raise

    def refusal(self, landing: str, body: bytes) -> str | None:
        """Why ClickHouse cannot parse a block for a landing table; None when it can. Stores nothing.

        Raises:
            ClickHouseUnavailable: it cannot be told.
        """
        probe = f"{landing}_probe"
        # The landing table without its views: what it is given goes nowhere.
        self.command(f"CREATE TABLE IF NOT EXISTS `{self.database}`.`{probe}` AS `{self.database}`.`{landing}`")
        try:
            self.insert_avro(probe, body, token=f"probe-{new_id()}")
        except BlockRefused as error:
            return str(error)
        return None

    def landing_of(self, landing: str, table: str, select: str) -> str:
        """A landing table like another that fills ``table`` alone; made if it is not there.

        Raises:
            ClickHouseUnavailable: repeat it.
        """
        at, name = f"`{self.database}`.", f"{landing}_only_{'events' if table == 'events' else 'table'}"
        self.command(f"CREATE TABLE IF NOT EXISTS {at}`{name}` AS {at}`{landing}`")
        self.command(
            f"CREATE MATERIALIZED VIEW IF NOT EXISTS {at}`{name}_view` TO {at}`{table}` AS SELECT {select} "
            f"FROM {at}`{name}`"
        )
        return name

    def offsets_in(self, table: str, topic: str, partition: int, lo: int, hi: int) -> Sequence[int]:
        """The offsets from ``lo`` to ``hi``, inclusive, that a table has rows of, repeats included.

        Raises:
            ClickHouseUnavailable.
        """
        sql = (
            f"SELECT offset FROM `{self.database}`.`{table}` WHERE topic = {{topic:String}} "
            "AND partition = {partition:Int32} AND offset BETWEEN {lo:Int64} AND {hi:Int64}"
        )
        found = self.query(sql, {"topic": topic, "partition": partition, "lo": lo, "hi": hi})
        return [int(row[0]) for row in found]

    def keep_schema(self, key: int | UUID, type: str, version: int, text: str) -> None:
        """Archives a writer's schema beside the rows, by its id or its GUID; repeating it changes nothing.

        Raises:
            ClickHouseUnavailable.
        """
        table, column, of = ("schemas", "id", "UInt32") if isinstance(key, int) else ("schema_guids", "guid", "UUID")
        self._ask(
            lambda client: client.command(
                f"INSERT INTO `{self.database}`.{table} ({column}, type, version, schema) "
                f"SELECT {{key:{of}}}, {{type:String}}, {{version:UInt16}}, {{schema:String}}",
                parameters={"key": key, "type": type, "version": version, "schema": text},
            )
        )

    def insert_values(self, sql: str, parameters: Mapping[str, Any]) -> None:
        """Runs an INSERT of parameters. Raises ClickHouseUnavailable; whether it ran is then unknown."""
        self._ask(lambda client: client.command(sql, parameters=dict(parameters), settings={"async_insert": 0}))

    def delete_offsets(self, table: str, topic: str, partition: int, lo: int, hi: int) -> None:
        """Deletes the rows of offsets ``lo`` to ``hi``, inclusive, and returns when they are gone.

        Raises:
            ClickHouseUnavailable: whether they are gone is unknown; repeat it.
        """
        where = "topic = {topic:String} AND partition = {partition:Int32} AND offset BETWEEN {lo:Int64} AND {hi:Int64}"
        self._ask(
            lambda client: client.command(
                f"ALTER TABLE `{self.database}`.`{table}` DELETE WHERE {where}",
                parameters={"topic": topic, "partition": partition, "lo": lo, "hi": hi},
                settings={"mutations_sync": 2},
            )
        )

    def settle(self, token_prefix: str, *, wait_ms: int) -> None:
        """Returns when no insert whose token begins so is running: waits, after ``wait_ms`` kills it.

        Raises:
            ClickHouseUnavailable: it cannot be told, or the insert does not end.
        """
        prefix = query_id_of(token_prefix)
        deadline = time.monotonic() + wait_ms / 1000
        while self._running(prefix):
            if time.monotonic() > deadline:
                self._ask(
                    lambda client: client.command(
                        "KILL QUERY WHERE startsWith(query_id, {prefix:String}) SYNC", parameters={"prefix": prefix}
                    )
                )
                if self._running(prefix):
                    raise ClickHouseUnavailable(f"an insert {prefix}… still runs although it was killed")
                return
            time.sleep(0.05)

    def _running(self, prefix: str) -> bool:
        sql = "SELECT count() FROM system.processes WHERE startsWith(query_id, {prefix:String})"
        return bool(self.query(sql, {"prefix": prefix})[0][0])

    def _ask(self, call: Callable[[Client], _T]) -> _T:
        try:
            if self._client is None:
                self._client = connect(self._settings)
            return call(self._client)
        except (ClickHouseError, OSError) as error:
            if getattr(error, "code", None) is None:
                self.close()
            raise unavailable(self._settings, error) from error


def query_id_of(token: str) -> str:
    """The query id of an insert: a second one with the same token is refused while the first still runs."""
    return f"tradewire-{token}"


def query_error(error: ClickHouseError) -> QueryError:
    """The engine's refusal of a question, without its stack."""
    return QueryError(str(error).strip(), code=getattr(error, "code", None))
