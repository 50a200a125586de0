"""Names that Python can bear for names that Avro allows: keywords, ``__private``, ``str.title`` and our own members."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final

# Members of every class, and what its body calls or annotates with: a field of such a name would hide it there.
_TAKEN: Final = frozenset(
    {
        *("event_type", "schema_version", "aggregate", "to_data", "from_data"),
        *("Any", "ClassVar", "Decimal", "Mapping", "Self", "Sequence", "StrEnum", "UUID"),
        *(
            "bool",
            "bytes",
            "classmethod",
            "dataclass",
            "datetime",
            "dict",
            "field",
            "float",
            "int",
            "list",
            "str",
            "tuple",
        ),
    }
)


def attribute_names(fields: Sequence[str], classes: Iterable[str] = ()) -> dict[str, str]:
    """The attribute of each field: its own name, with ``_`` at the end where Python or the class needs that name."""
    taken = {*_TAKEN, *classes}
    names: dict[str, str] = {}
    for name in fields:
        attribute = f"f{name}" if name.startswith("__") else name
        while keyword.iskeyword(attribute) or attribute in taken or (attribute != name and attribute in fields):
            attribute += "_"
        names[name] = attribute
        taken.add(attribute)
    return names


def member_names(symbols: Sequence[str]) -> dict[str, str]:
    """The enum member of each symbol; ``title`` or ``None`` become ``title_`` and ``None_``."""
    names: dict[str, str] = {}
    for symbol in symbols:
        member = f"s{symbol}" if symbol.startswith("_") else symbol
        while keyword.iskeyword(member) or hasattr(StrEnum, member) or (member != symbol and member in symbols):
            member += "_"
        names[symbol] = member
    return names


def module_name(name: str) -> str:
    """A domain or ``<entity>.<fact>`` as the name of a folder or module."""
    name = name.replace(".", "_")
    return f"{name}_" if keyword.iskeyword(name) else name


def camel_case(name: str) -> str:
    """``order.created`` as ``OrderCreated``."""
    return "".join(part[:1].upper() + part[1:] for part in name.replace(".", "_").split("_"))
