"""What operators do with a registry: read its history and levels, register, set levels, restore.

No room that publishes or reads events uses this; ``RegistryIds`` is theirs, and only looks up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2 as httpx

from tradewire.core.errors import ContractError, RegistryUnavailable
from tradewire.core.settings import RegistrySettings
from tradewire.schemas.compatibility import CompatibilityLevel

# A registry on the same two cores is no faster with more; one across a network is.
REQUESTS_AT_ONCE = 4
_JSON = {"Content-Type": "application/vnd.schemaregistry.v1+json"}


class RegistryRefused(ContractError):
    """Raised when a registry answers with an error of the caller's: refused login, incompatible schema, wrong URL."""


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version of a subject. ``kind`` is AVRO, JSON or PROTOBUF."""

    subject: str
    version: int
    id: int
    schema: str
    kind: str = "AVRO"


class RegistryAdmin:
    """Confluent's REST API. Thread-safe; each call blocks for at most the settings' time.

    Every call raises RegistryUnavailable when there is no answer or a server error (asking again is safe), and
    RegistryRefused, which names the likely cause, when there is an answer that asking again will not change.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        self.url = settings.url.rstrip("/")
        login = None
        if settings.username is not None and settings.password is not None:
            login = (settings.username, settings.password.get_secret_value())
        self._http = httpx.Client(auth=login, timeout=settings.timeout_ms / 1000)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def subjects(self) -> list[str]:
        found = self._ask("GET", "/subjects")
        if found is None:
            raise RegistryRefused(
                f"{self.url} has no registry API: registry.url must be the base of Confluent's API (for Apicurio it "
                "ends with /apis/ccompat/v7)"
            )
        return sorted(map(str, found))

    def history(self, subject: str) -> list[RegisteredVersion]:
        """The versions of a subject, oldest first; empty for a subject that is not there."""
        numbers = self._ask("GET", f"/subjects/{_quoted(subject)}/versions") or []
        found = (self._ask("GET", f"/subjects/{_quoted(subject)}/versions/{number}") for number in sorted(numbers))
        return [
            RegisteredVersion(
                subject, int(item["version"]), int(item["id"]), str(item["schema"]), item.get("schemaType") or "AVRO"
            )
            for item in found
            if item is not None  # deleted between the two requests
        ]

    def histories(self, subjects: Iterable[str]) -> dict[str, list[RegisteredVersion]]:
        """``history`` of several, some requests at a time."""
        names = list(subjects)
        with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
            return dict(zip(names, pool.map(self.history, names), strict=True))

    def find(self, subject: str, schema: str) -> RegisteredVersion | None:
        """The version of a subject that is this very schema, or None."""
        found = self._ask("POST", f"/subjects/{_quoted(subject)}", {"schema": schema, "schemaType": "AVRO"})
        return None if found is None else RegisteredVersion(subject, int(found["version"]), int(found["id"]), schema)

    def register(self, subject: str, schema: str, *, version: int | None = None, id: int | None = None) -> int:
        """Registers a schema and returns its id; the same schema again gives the same. ``id`` needs mode IMPORT."""
        body: dict[str, Any] = {"schema": schema, "schemaType": "AVRO"}
        body |= {} if id is None else {"id": id, "version": version}
        found = self._ask("POST", f"/subjects/{_quoted(subject)}/versions", body)
        if found is None:
            raise RegistryRefused(f"{self.url} has no route to register {subject}: is registry.url the API's base?")
        return int(found["id"])

    def level_of(self, subject: str) -> CompatibilityLevel | None:
        """The level set on a subject itself; None where the registry's own counts."""
        own = self._ask("GET", f"/config/{_quoted(subject)}")
        if own is None:
            return None
        level = CompatibilityLevel(own["compatibilityLevel"])
        if level is CompatibilityLevel.NONE:  # Apicurio says so of a subject without a level
            effective = self._ask("GET", f"/config/{_quoted(subject)}?defaultToGlobal=true")
            if effective is not None and effective["compatibilityLevel"] != CompatibilityLevel.NONE:
                return None
        return level

    def level(self) -> CompatibilityLevel | None:
        """The registry's own level, which counts for subjects without one."""
        found = self._ask("GET", "/config")
        return None if found is None else CompatibilityLevel(found["compatibilityLevel"])

    def set_level(self, level: CompatibilityLevel, subject: str | None = None) -> None:
        path = "/config" if subject is None else f"/config/{_quoted(subject)}"
        if self._ask("PUT", path, {"compatibility": level.value}) is None:
            raise RegistryRefused(f"{self.url} does not let its compatibility level be set ({path})")

    def set_mode(self, mode: str) -> bool:
        """Sets READWRITE or IMPORT; false where the registry does not know modes."""
        try:
            return self._ask("PUT", "/mode", {"mode": mode}) is not None
        except RegistryRefused:
            return False

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The answer's JSON, or None for "not found"."""
        try:
            content = None if body is None else json.dumps(body)
            answer = self._http.request(method, self.url + path, content=content, headers=_JSON)
        except httpx.HTTPError as error:
            raise RegistryUnavailable(
                f"{self.url} does not answer ({error or type(error).__name__}): is the registry up, and is registry.url"
                " right?"
            ) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            raise RegistryRefused(f"registry.url {self.url!r} is not a URL: {error}") from error
        if answer.status_code == 404:
            return None
        if answer.status_code in (401, 403):
            raise RegistryRefused(
                f"{self.url} refuses the login ({answer.status_code}): check registry.username and registry.password"
            )
        if answer.status_code >= 500:
            raise RegistryUnavailable(f"{self.url} answers {answer.status_code}: {answer.text[:200]}")
        try:
            found = answer.json()
        except ValueError:
            raise RegistryRefused(
                f"{self.url}{path} answers {answer.status_code} with something other than JSON: is it a registry?"
            ) from None
        if answer.status_code >= 400:
            said = found.get("message", found) if isinstance(found, Mapping) else found
            raise RegistryRefused(f"{self.url} refuses ({answer.status_code}): {said}", status=answer.status_code)
        return found


def _quoted(subject: str) -> str:
    return quote(subject, safe="")


def in_order(versions: Iterable[RegisteredVersion]) -> Sequence[RegisteredVersion]:
    """By id, then subject and version: the order in which a registry gave them out."""
    return sorted(versions, key=lambda item: (item.id, item.subject, item.version))
