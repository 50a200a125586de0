"""The whole contract in one object, loaded from settings: what every room needs to read and write events."""

from __future__ import annotations

from dataclasses import dataclass

from tradewire.core.settings import RegistrySettings, Settings
from tradewire.schemas.catalogue import BUILT_IN_FOLDER, Catalogue
from tradewire.schemas.codec import Codec
from tradewire.schemas.registration import Registrar, Registration
from tradewire.schemas.registry import RegistryIds, SchemaIds
from tradewire.schemas.topics import Topics, refuse_without_topic


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
            SchemaFileError: a file is at fault, or a user's type has no topic that it could be published to.
        """
        folder = settings.schemas.folder
        catalogue = Catalogue.load(*([folder] if folder else []))
        ids = schema_ids or RegistryIds(settings.registry)
        topics = topics or Topics.load(settings.schemas.topics_file)
        for type in catalogue.values():
            if not type.latest.file.is_relative_to(BUILT_IN_FOLDER):
                refuse_without_topic(type, topics)
        return cls(catalogue, topics, ids, Codec(catalogue, ids))

    def topic_of(self, type: str) -> str:
        """The topic an event type is published to. Raises UnknownEventType."""
        return self.topics.of_type(self.catalogue[type]).name

    def register_all(self, settings: RegistrySettings) -> list[Registration]:
        """Registers what is missing of every version of every type; see ``Registrar.register``.

        Raises:
            ContractError: a version may not follow the registry's, or is refused; says what was registered.
            RegistryUnavailable: asking again is safe.
        """
        return Registrar(settings, self.catalogue, self.topics).register()
