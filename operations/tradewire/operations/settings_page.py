"""Every setting with its default, unit, bounds and meaning: the page docs/settings.md, from the models themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from tradewire.core import Settings

MARK: Final = "Made by `tradewire settings --output`"
# A name ends in its unit, `_max` behind it.
_UNITS: Final = {
    "ms": "ms",
    "seconds": "s",
    "bytes": "bytes",
    "mb": "MiB",
    "rows": "rows",
    "messages": "events",
    "port": "port",
}
_HEAD: Final = f"""# Settings

<!-- {MARK}; do not edit. -->

Every part of the platform, the command `tradewire` and your own services read the same settings, once, when they start:
after a change stop the process and start it again (the local stack: Ctrl-C or `tradewire down`, then `tradewire up`).
`tradewire settings` shows what is in force in the folder and shell where you call it, and marks what is no default.

From the strongest to the weakest:

1. what a program passes to `load_settings(worker={{"group": "prices"}})`;
2. the environment, `TRADEWIRE_<SECTION>__<NAME>` with two underscores between: `TRADEWIRE_WORKER__GROUP=prices`; lists
   are JSON, `TRADEWIRE_WORKER__PROJECTIONS='["last_price"]'`;
3. the TOML file that `TRADEWIRE_CONFIG` names, else `tradewire.toml` in the working folder, if there is one;
4. the defaults below.

```toml
# tradewire.toml
[worker]
flows_file = "flows.yaml"
patterns_file = "patterns.yaml"

[publisher]
source = "desk-7"
```

Relative paths are relative to the **working folder** of the process, not to the folder of the file that names them;
`tradewire up` starts its parts in its own. A setting that does not exist, and a value that is out of bounds, is refused
by name, wherever it comes from.
"""


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the page. ``name`` is ``section.key``; texts are as they are to be read."""

    name: str
    default: str
    unit: str
    bounds: str
    meaning: str


def settings_page() -> str:
    """The whole page. Raises KeyError naming the setting that has no meaning."""
    lines = [_HEAD]
    for section, model in sections().items():
        lines += [f"## {section}", "", "| setting | default | unit | values | meaning |", "|---|---|---|---|---|"]
        lines += [
            f"| `{found.name}` | {found.default} | {found.unit} | {found.bounds} | {found.meaning} |"
            for found in settings_of(section, model)
        ]
        lines.append("")
    return "\n".join(lines)


def sections() -> Mapping[str, type[BaseModel]]:
    """The sections of the settings, in their order."""
    return {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }


def meanings() -> Mapping[str, Mapping[str, str]]:
    """What each setting means, by section and key."""
    text = files("tradewire.operations").joinpath("setting_meanings.yaml").read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, str]] = yaml.safe_load(text)
    return found


def settings_of(section: str, model: type[BaseModel]) -> Iterator[Setting]:
    """The settings of one section, in their order."""
    said = meanings()[section]
    for key, field in model.model_fields.items():
        yield Setting(f"{section}.{key}", _default(field), _unit(key), _bounds(field), said[key])


def shown(value: Any) -> str:
    """A value as it is read by people; secrets stay hidden."""
    if isinstance(value, SecretStr):
        return "hidden" if value.get_secret_value() else "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}" if value >= 10_000 else str(value)
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "empty"
    return "none" if value is None else str(value)


def _default(field: FieldInfo) -> str:
    # The one that is made when it is asked for depends on the home folder of whoever asks.
    value = Path("~/.cache/tradewire") if field.default_factory is not None else field.default
    text = shown(value)
    plain = value is None or isinstance(value, SecretStr) or (isinstance(value, int) and not isinstance(value, bool))
    return text if plain or text == "empty" else f"`{text}`"


def _unit(key: str) -> str:
    return _UNITS.get(key.removesuffix("_max").rsplit("_", 1)[-1], "")


def _bounds(field: FieldInfo) -> str:
    choices = list(_choices(field.annotation))
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    found = {name: getattr(rule, name) for rule in field.metadata for name in ("ge", "le") if hasattr(rule, name)}
    parts = [f"{word} {shown(found[name])}" for name, word in (("ge", "from"), ("le", "to")) if name in found]
    return " ".join(parts) or _kind(field.annotation)


def _choices(annotation: Any) -> Iterator[str]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for inner in get_args(annotation):
            yield from _choices(inner)


def _kind(annotation: Any) -> str:
    for type, said in ((bool, "`true`, `false`"), (Path, "a path")):
        if annotation is type or type in get_args(annotation):
            return said
    return "a list" if get_origin(annotation) is tuple else ""
