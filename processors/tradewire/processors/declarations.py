"""Files of declarations (flows, patterns): ours beside the code, then the user's; a mistake is named by its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from tradewire.core.errors import ProcessingError, UnknownEventType
from tradewire.processors.declaration_mistakes import mistakes
from tradewire.processors.durations import span_ns
from tradewire.schemas import Catalogue

NAME: Final = re.compile(r"^[a-z][a-z0-9_]*$")
Span = Annotated[int, BeforeValidator(span_ns), Field(gt=0)]
SpanOrZero = Annotated[int, BeforeValidator(span_ns), Field(ge=0)]
# What the platform derives from events is not watched for: it would be answered with more of the same.
_DERIVED: Final = ("flows.", "flow.", "readmodel.", "patterns.")
_LISTED_MAX: Final = 8
Entry = TypeVar("Entry", bound=BaseModel)
Made = TypeVar("Made")


class DeclarationInvalid(ProcessingError):
    """Raised when a file of flows or patterns cannot be used; names file, entry and field. The worker does not start.

    Author: correct the named field; ``tradewire schemas list`` shows the event types.
    """


def read_declarations(
    built_in: Path, users: Path | None, section: str, model: type[Entry], make: Callable[[str, Entry], Made]
) -> dict[str, Made]:
    """What both files declare under ``section``; an entry of the user's replaces ours of the same name.

    One that has nothing but ``enabled`` switches ours on or off. The setting ``worker.<section>_file`` names the user's
    file, from the working folder.

    Raises:
        DeclarationInvalid: a file cannot be read, a key is unknown or has a bad value.
    """
    found: dict[str, Made] = {}
    ours: Mapping[Any, Any] = {}
    for file in (built_in, users):
        if file is not None:
            entries = _section(file, section)
            for name, entry in entries.items():
                if isinstance(entry, dict) and set(entry) == {"enabled"} and ours:
                    entry = {**_switched(file, section, name, ours), **entry}
                found[str(name)] = _made(file, section, name, entry, model, make)
            ours = entries
    return found


def _switched(file: Path, section: str, name: Any, ours: Mapping[Any, Any]) -> Mapping[str, Any]:
    if name not in ours:
        raise DeclarationInvalid(
            f"{file}: {section}.{name}: enabled alone switches one of ours, and there is no {name!r} among them "
            f"({', '.join(ours)})",
            file=str(file),
            entry=name,
        )
    found: Mapping[str, Any] = ours[name]
    return found


def _section(file: Path, section: str) -> Mapping[Any, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DeclarationInvalid(
            f"{file}: there is no such file; the setting worker.{section}_file names it, and the working folder is "
            f"{Path.cwd()}",
            file=str(file),
            key=f"worker.{section}_file",
        ) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DeclarationInvalid(f"{file}: cannot be read as YAML: {error}", file=str(file)) from error
    if not isinstance(content, dict) or set(content) != {section} or not isinstance(content[section], dict | None):
        raise DeclarationInvalid(f"{file}: expected one key, {section!r}, with entries by name", file=str(file))
    return content[section] or {}


def _made(
    file: Path, section: str, name: Any, entry: Any, model: type[Entry], make: Callable[[str, Entry], Made]
) -> Made:
    where = f"{file}: {section}.{name}"
    if not isinstance(name, str) or not NAME.match(name):
        raise DeclarationInvalid(f"{where}: a name is lower case letters, digits and _", file=str(file))
    try:
        return make(name, model.model_validate(entry))
    except ValidationError as error:
        raise DeclarationInvalid(f"{where}: {mistakes(error, model)}", file=str(file), entry=name) from error
    except (ValueError, UnknownEventType) as error:
        raise DeclarationInvalid(f"{where}: {error}", file=str(file), entry=name) from error


def known_types(catalogue: Catalogue, field: str, types: tuple[str, ...]) -> None:
    """Checks event types of a declaration, which take no wildcards: what an event means is said by its type.

    Raises:
        ValueError: one has a wildcard, is derived by the platform, or not in the catalogue; names field and type.
    """
    for type in types:
        if "*" in type or "?" in type:
            matched = [known for known in catalogue if fnmatchcase(known, type) and not known.startswith(_DERIVED)]
            hint = f"write [{', '.join(matched)}]" if 0 < len(matched) <= _LISTED_MAX else "name the event types"
            raise ValueError(f"{field}: {type}: wildcards are not taken here; {hint}")
        if type.startswith(_DERIVED):
            raise ValueError(f"{field}: {type} is derived from other events by the platform; name those")
        try:
            catalogue[type]
        except UnknownEventType as error:
            raise ValueError(f"{field}: {error}") from error
