"""The retention policy: how long what is stored is kept, and what may be deleted without an archive."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tradewire.core.errors import SinkError

BUILT_IN_FILE: Final = Path(str(files("tradewire.sinks.retention").joinpath("retention.yaml")))
_DAY_MS: Final = 86_400_000
_RAW_TABLES: Final = ("events", "dead_letters")


class PolicyInvalid(SinkError):
    """Raised when a retention policy cannot be used; names file, entry and key. Nothing has been deleted."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What is kept of one topic or of one table. ``keep_ms`` is never None: who keeps for ever has no rule."""

    target: str
    kind: Literal["topic", "table"]
    keep_ms: int
    archive: bool


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    keep_days: Literal["forever"] | float = Field(default="forever")
    archive: bool = True


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    defaults: dict[str, Any] = {}
    topics: dict[str, dict[str, Any] | None] = {}
    tables: dict[str, dict[str, Any] | None] = {}


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of a file, topics first. ``defaults`` apply to every topic; tables have rules only when named."""

    rules: tuple[Rule, ...]

    @classmethod
    def load(
        cls, file: Path | None, *, topics: Collection[str], event_tables: Collection[str], model_tables: Collection[str]
    ) -> Self:
        """Reads a policy (ours, which keeps everything, when None).

        ``topics`` are the stored topics of events, ``event_tables`` the tables of event types, ``model_tables`` those
        of read models.

        Raises:
            PolicyInvalid: names file, entry and key, and what is near a name that does not exist.
        """
        file = file or BUILT_IN_FILE
        try:
            content = _File(**(yaml.safe_load(file.read_text(encoding="utf-8")) or {}))
        except (OSError, yaml.YAMLError, TypeError) as error:
            raise PolicyInvalid(f"{file}: not a retention policy: {error}", file=str(file)) from error
        except ValidationError as error:
            raise PolicyInvalid(f"{file}: {_said(error)}", file=str(file)) from error
        defaults = _entry(file, "defaults", content.defaults)
        rules: list[Rule] = []
        for name in content.topics:
            _must_exist(file, "topics", name, topics)
        for name in sorted(topics):
            entry = _entry(file, f"topics.{name}", {**defaults.model_dump(), **(content.topics.get(name) or {})})
            rules += _rule(name, "topic", entry)
        for name, given in content.tables.items():
            rules += _rule(name, "table", _table_entry(file, name, given or {}, event_tables, model_tables))
        return cls(tuple(rules))


def _rule(name: str, kind: Literal["topic", "table"], entry: _Entry) -> list[Rule]:
    if isinstance(entry.keep_days, str):
        return []
    return [Rule(name, kind, max(1, round(entry.keep_days * _DAY_MS)), entry.archive)]


def _table_entry(
    file: Path, name: str, given: Mapping[str, Any], event_tables: Collection[str], model_tables: Collection[str]
) -> _Entry:
    where = f"tables.{name}"
    if name in _RAW_TABLES:
        raise PolicyInvalid(
            f"{file}: {where}: this table holds the raw bytes of all topics; give a rule to each topic instead",
            file=str(file),
        )
    _must_exist(file, "tables", name, [*event_tables, *model_tables])
    entry = _entry(file, where, given)
    if name in model_tables and entry.archive:
        raise PolicyInvalid(
            f"{file}: {where}: read models keep no raw bytes, so that nothing can be archived: waive it with "
            "`archive: false`, or leave the rule out",
            file=str(file),
        )
    # The raw bytes stay in `events` until the topic's own rule archives them.
    return entry.model_copy(update={"archive": False})


def _entry(file: Path, where: str, given: Mapping[str, Any]) -> _Entry:
    try:
        entry = _Entry(**given)
    except (ValidationError, TypeError) as error:
        said = _said(error) if isinstance(error, ValidationError) else str(error)
        raise PolicyInvalid(f"{file}: {where}: {said}", file=str(file)) from error
    if not isinstance(entry.keep_days, str) and not 0 < entry.keep_days < 1e6:
        raise PolicyInvalid(
            f"{file}: {where}.keep_days is {entry.keep_days:g}; it is a number of days above zero, or forever",
            file=str(file),
        )
    return entry


def _must_exist(file: Path, section: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, list(known), n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        what = "a stored topic of events" if section == "topics" else "a table of events or read models"
        raise PolicyInvalid(f"{file}: {section}.{name} is not {what}{hint}", file=str(file))


def _said(error: ValidationError) -> str:
    parts = [f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()]
    return "; ".join(dict.fromkeys(parts))
