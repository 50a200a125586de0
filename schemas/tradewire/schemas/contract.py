"""The whole contract in one object, loaded from settings: what every room needs to read and write events."""

from __future__ import annotations

from dataclasses import dataclass

from tradewire.core.settings import Settings
from tradewire.schemas.catalogue import Catalogue
from tradewire.schemas.codec import Codec
from tradewire.schemas.registry import RegistryIds, SchemaIds
from tradewire.schemas.topics import Topics


@dataclass(frozen=True, slots=True)
class Contract:
    """Catalogue, topics and codec that belong together."""

    catalogue: Catalogue
    topics: Topics
    schema_ids: SchemaIds
    codec: Codec

    @classmethod
    def load(cls, settings: Settings, *, schema_ids: SchemaIds | None = None, topics: Topics | None = None) -> Contract:
        """Reads the files that ``settings.schemas`` names; does not talk to the registry yet.

        Raises:
            SchemaFileError: a file is at fault.
        """
        folder = settings.schemas.folder
        catalogue = Catalogue.load(*([folder] if folder else []))
        ids = schema_ids or RegistryIds(settings.registry)
        return cls(catalogue, topics or Topics.load(settings.schemas.topics_file), ids, Codec(catalogue, ids))

    def topic_of(self, type: str) -> str:
        """The topic an event type is published to. Raises UnknownEventType."""
        return self.topics.of_type(self.catalogue[type]).name

    def register_all(self) -> dict[str, int]:
        """Registers every version of every type, oldest first, and returns ids by ``type v<N>``.

        Raises:
            ContractError: the registry refuses a schema; those before it stay registered.
            RegistryUnavailable: asking again is safe.
        """
        if not isinstance(self.schema_ids, RegistryIds):
            return {}
        registered: dict[str, int] = {}
        for type in self.catalogue.values():
            topic = self.topics.of_type(type).name
            for schema in type.versions:
                registered[f"{type.name} v{schema.version}"] = self.schema_ids.register(schema, topic)
        return registered
