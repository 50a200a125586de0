"""What every class of ``tradewire.schemas.types`` has, and what a publisher needs of an object in place of a dict."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol


class TypedData(Protocol):
    """Data of an event as an object that knows its event type.

    The classes that `tradewire schemas generate-types` makes have this shape; one written by hand may have it too. The
    codec checks what ``to_data`` gives as it checks any dict: an object is no way round the contract.
    """

    event_type: ClassVar[str]
    """For instance ``trading.order.created``."""
    schema_version: ClassVar[int]
    """The version of the schema that the class was made from."""
    aggregate: ClassVar[str]
    """The fields that make the key, joined by ``:``, for instance ``account:symbol``."""

    def to_data(self) -> dict[str, Any]:
        """A new dict of plain values for the codec, nested objects turned too; never raises for a typed object."""
        ...
