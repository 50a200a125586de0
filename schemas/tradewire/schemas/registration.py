"""Registering a catalogue: the one explicit act by which schemas come into a registry."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

from tradewire.core.errors import ContractError, RegistryUnavailable, TradewireError
from tradewire.core.settings import RegistrySettings
from tradewire.schemas.catalogue import Catalogue, EventSchema
from tradewire.schemas.catalogue_check import CatalogueFinding, check_against_registry
from tradewire.schemas.compatibility import CompatibilityLevel, Severity
from tradewire.schemas.registry import RegistryIds, subject_of
from tradewire.schemas.registry_admin import REQUESTS_AT_ONCE, RegistryAdmin
from tradewire.schemas.topics import Topics

_SUBJECTS_LISTED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class Registration:
    """A version of an event type under its subject. ``id`` is None while it is not registered."""

    schema: EventSchema
    topic: str
    id: int | None = None
    is_new: bool = False

    @property
    def subject(self) -> str:
        return subject_of(self.topic, self.schema.name)

    @property
    def title(self) -> str:
        return f"{self.schema.type} v{self.schema.version}"


class IncompatibleSchemas(ContractError):
    """Raised before anything is registered when new versions may not follow the registry's; ``findings`` say why."""

    def __init__(self, message: str, findings: Sequence[CatalogueFinding]) -> None:
        super().__init__(message)
        self.findings = findings


class RegistrationFailed(ContractError):
    """Raised when a registry refuses a schema half-way; says what is registered and what is not. Repeating is safe."""


class Registrar:
    """Registers a catalogue in three steps, each a method: what is there, whether the rest may follow, registering.

    Subjects go in parallel, the versions of one in order. Nothing that is registered is registered again.
    """

    def __init__(self, settings: RegistrySettings, catalogue: Catalogue, topics: Topics) -> None:
        self._settings = settings
        self._admin = RegistryAdmin(settings)
        self._ids = RegistryIds(settings)
        self.default_level = CompatibilityLevel(settings.compatibility)
        self._subjects: dict[str, list[Registration]] = {}
        for type in catalogue.values():
            topic = topics.of_type(type).name
            for schema in type.versions:
                item = Registration(schema, topic)
                self._subjects.setdefault(item.subject, []).append(item)

    def look_up(self) -> list[Registration]:
        """Every version with its id, or without one where it is not registered; registers nothing.

        Raises:
            RegistryUnavailable, RegistryRefused.
        """
        there = self._admin.subjects()
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            found = pool.map(
                lambda subject: self._look_up(self._subjects[subject], _may_be_there(subject, there)), self._subjects
            )
            return [item for items in found for item in items]

    def _look_up(self, items: Sequence[Registration], is_there: bool) -> list[Registration]:
        found = []
        for item in items:
            known = self._admin.find(item.subject, item.schema.text) if is_there else None
            if known is not None:
                self._ids.remember(item.schema, item.topic, known.id)
            found.append(Registration(item.schema, item.topic, None if known is None else known.id))
        return found

    def check(self, items: Sequence[Registration], level: CompatibilityLevel | None = None) -> list[CatalogueFinding]:
        """What forbids those without an id to be registered. A level that a subject has itself counts before ours.

        Raises:
            RegistryUnavailable, RegistryRefused.
        """
        missing = {item.subject for item in items if item.id is None}
        if not missing:
            return []
        there = self._admin.subjects()
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            found = pool.map(
                lambda subject: self._check(subject, _may_be_there(subject, there), level), sorted(missing)
            )
        return [finding for findings in found for finding in findings]

    def _check(self, subject: str, is_there: bool, level: CompatibilityLevel | None) -> list[CatalogueFinding]:
        history = self._admin.history(subject) if is_there else []
        level = level or (self._admin.level_of(subject) if is_there else None) or self.default_level
        schemas = [item.schema for item in self._subjects[subject]]
        return [
            finding
            for at, schema in enumerate(schemas)
            for finding in check_against_registry(schema, history, level, earlier=schemas[:at])
        ]

    def register(self) -> list[Registration]:
        """Looks up, checks, sets the level as ``registry.compatibility_scope`` says, and registers what is missing.

        Returns every version with its id, in the order of the catalogue; ``is_new`` marks what this call registered.

        Raises:
            IncompatibleSchemas: nothing was registered.
            RegistrationFailed: the registry refused one; names it, and what was registered before.
            RegistryUnavailable: no answer; repeating is safe and completes it.
        """
        items = self.look_up()
        missing = [item for item in items if item.id is None]
        if not missing:
            return items
        errors = [finding for finding in self.check(items) if finding.severity is Severity.ERROR]
        if errors:
            first = errors[0]
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            raise IncompatibleSchemas(
                f"{first.file}: {first.rule}: {first.message}; {first.fix}{more}; nothing was registered", errors
            )
        scope, everywhere = self._settings.compatibility_scope, self._admin.level()
        if scope == "global" and everywhere is not self.default_level:
            self._admin.set_level(self.default_level)
        per_subject = scope == "subject" and everywhere is not self.default_level
        new = self._register_all(missing, per_subject)
        return [new.get(item.title, item) for item in items]

    def _register_all(self, missing: Sequence[Registration], per_subject: bool) -> dict[str, Registration]:
        subjects: dict[str, list[Registration]] = {}
        for item in missing:
            subjects.setdefault(item.subject, []).append(item)
        done: dict[str, Registration] = {}
        stop = Event()
        failures: list[tuple[Registration, TradewireError]] = []

        def work(items: Sequence[Registration]) -> None:
            for item in items:
                if stop.is_set():
                    return
                try:
                    schema_id = self._admin.register(item.subject, item.schema.text)
                    self._ids.remember(item.schema, item.topic, schema_id)
                    done[item.title] = Registration(item.schema, item.topic, schema_id, is_new=True)
                    if per_subject and self._admin.level_of(item.subject) is None:
                        self._admin.set_level(self.default_level, item.subject)
                except TradewireError as error:
                    failures.append((item, error))
                    stop.set()

        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            list(pool.map(work, subjects.values()))
        if failures:
            item, error = failures[0]
            left = [other.title for other in missing if other.title not in done]
            text = (
                f"{item.title} ({item.schema.file}, subject {item.subject}) was not registered: {error}. Registered in "
                f"this run: {', '.join(sorted(done)) or 'nothing'}. Not registered: {', '.join(left)}. Repeating "
                "is safe"
            )
            kind = RegistryUnavailable if isinstance(error, RegistryUnavailable) else RegistrationFailed
            raise kind(text, registered=sorted(done), missing=left) from error
        return done


def _may_be_there(subject: str, listed: Sequence[str]) -> bool:
    """Apicurio lists no more than a thousand subjects unless told otherwise: a full list proves no absence."""
    return len(listed) >= _SUBJECTS_LISTED_MAX or subject in listed
