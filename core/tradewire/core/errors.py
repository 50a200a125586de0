"""One error tree. What to do about an error is data on its class, so that loops read an answer instead of guessing.

A caller may catch a family (``PublishError``) or everything of ours (``TradewireError``). Rooms subclass the families
beside the code that raises them.
"""

from __future__ import annotations

from typing import ClassVar


class TradewireError(Exception):
    """Raised when the platform refuses or cannot do something; never raised itself, only its subclasses.

    ``retriable`` says whether the same call may succeed later without anybody changing anything. ``context`` holds the
    named facts of the message (field, file, topic, partition, offset, schema id …) for structured logs.
    """

    retriable: ClassVar[bool] = False

    def __init__(self, message: str, /, **context: object) -> None:
        super().__init__(message)
        self.message = message
        self.context = context

    def __str__(self) -> str:
        return self.message


class SettingsError(TradewireError):
    """Raised when a setting is unknown, has a bad value, or contradicts another; names the key and where it was set.

    Operator: correct the named key in the file or the environment; nothing has been started.
    """


class ContractError(TradewireError):
    """Raised when bytes, data or files do not keep the event contract. Retrying the same input cannot help."""


class SchemaFileError(ContractError):
    """Raised when an Avro file of the catalogue cannot be used; names file and field. Author: correct the file."""


class UnknownEventType(ContractError):
    """Raised when an event type is not in the catalogue; suggests the nearest names. Author: add its ``.avsc`` file."""


class EventInvalid(ContractError):
    """Raised when an event does not fit its schema; names the field. Nothing has reached Kafka."""


class MalformedRecord(ContractError):
    """Raised when a record's frame, headers or Avro bytes cannot be read. Reader: send it to the dead letters."""


class UnknownSchemaId(ContractError):
    """Raised when neither registry nor archive knows a schema id.

    Operator: restore the registry or the archive the writer used; the record itself is intact and must be kept.
    """

    retriable = True


class RegistryUnavailable(TradewireError):
    """Raised when the schema registry does not answer and the local archive does not have the schema either."""

    retriable = True


class KafkaUnavailable(TradewireError):
    """Raised when no broker answers within the deadline. Operator: check ``kafka.bootstrap_servers`` and the broker."""

    retriable = True


class ClickHouseUnavailable(TradewireError):
    """Raised when ClickHouse does not answer within the deadline. Operator: check ``clickhouse.host`` and ``port``."""

    retriable = True


class PublishError(TradewireError):
    """Raised when an event could not be published, or when it is not known whether it was."""


class ProcessingError(TradewireError):
    """Raised when a worker cannot process events."""


class SinkError(TradewireError):
    """Raised when the sink cannot store events; no offset past them has been committed."""


class QueryError(TradewireError):
    """Raised when a question to the history cannot be answered; names the parameter or quotes the engine."""


class ReplayError(TradewireError):
    """Raised when a replay cannot be done or would not be exact; says how far it got."""


class StackError(TradewireError):
    """Raised when the local stack cannot start or keep a part; says what to install, free or change."""
