"""Ground floor: settings, errors, logs, clock, ids and the current correlation. Imports nothing else of ours."""

from tradewire.core.clock import NS_PER_MS, NS_PER_SECOND, Clock, ManualClock, SystemClock
from tradewire.core.correlation import Correlation, carried, correlation, current_correlation
from tradewire.core.errors import (
    ClickHouseUnavailable,
    ContractError,
    EventInvalid,
    KafkaUnavailable,
    MalformedRecord,
    ProcessingError,
    PublishError,
    QueryError,
    RegistryUnavailable,
    ReplayError,
    SchemaFileError,
    SettingsError,
    SinkError,
    StackError,
    TradewireError,
    UnknownEventType,
    UnknownSchemaId,
)
from tradewire.core.ids import derived_id, new_id
from tradewire.core.logs import configure_logs, get_logger
from tradewire.core.settings import Settings, load_settings

__all__ = [
    "NS_PER_MS",
    "NS_PER_SECOND",
    "ClickHouseUnavailable",
    "Clock",
    "ContractError",
    "Correlation",
    "EventInvalid",
    "KafkaUnavailable",
    "MalformedRecord",
    "ManualClock",
    "ProcessingError",
    "PublishError",
    "QueryError",
    "RegistryUnavailable",
    "ReplayError",
    "SchemaFileError",
    "Settings",
    "SettingsError",
    "SinkError",
    "StackError",
    "SystemClock",
    "TradewireError",
    "UnknownEventType",
    "UnknownSchemaId",
    "carried",
    "configure_logs",
    "correlation",
    "current_correlation",
    "derived_id",
    "get_logger",
    "load_settings",
    "new_id",
]
