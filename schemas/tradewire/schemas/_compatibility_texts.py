"""What an incompatibility says to a person, and what to do about it, worded for the side that can still be edited."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Literal

from tradewire.schemas._incompatibility import Incompatibility, Place, Rule
from tradewire.schemas._schema_tree import Node

Side = Literal["reader", "writer"]
_BREAKING = "or make it a breaking version: a new record name with an upcaster"


def explain(
    rule: Rule,
    reader: Node,
    writer: Node,
    place: Place,
    detail: str,
    changed: Side,
    reader_name: str,
    writer_name: str,
    causes: Sequence[Incompatibility] = (),
) -> tuple[str, str]:
    """Message and fix. With ``changed="reader"`` the fix edits the reader, else the writer."""
    where = place.field or (reader.title if rule is not Rule.NAME_MISMATCH else f"the {reader.kind}")
    edit_reader = changed == "reader"
    texts = {
        Rule.NAME_MISMATCH: _name,
        Rule.FIXED_SIZE_MISMATCH: _size,
        Rule.MISSING_ENUM_SYMBOLS: _symbols,
        Rule.READER_FIELD_MISSING_DEFAULT_VALUE: _default,
        Rule.TYPE_MISMATCH: _type,
        Rule.AMBIGUOUS_ALIAS: _alias,
    }
    if rule is Rule.MISSING_UNION_BRANCH:
        return _branch(reader, writer, where, edit_reader, reader_name, writer_name, causes)
    return texts[rule](reader, writer, where, detail, edit_reader, reader_name, writer_name)


def _name(
    reader: Node, writer: Node, where: str, detail: str, edit_reader: bool, reader_name: str, writer_name: str
) -> tuple[str, str]:
    message = f"{where} is named {reader.name} in {reader_name}, {writer.name} in {writer_name}"
    if edit_reader:
        return message, f'keep the name {writer.name}, or add "aliases": ["{writer.name}"] to {reader.name}'
    return message, f"keep the name {reader.name}, which is the only one {reader_name} knows, {_BREAKING}"


def _size(
    reader: Node, writer: Node, where: str, detail: str, edit_reader: bool, reader_name: str, writer_name: str
) -> tuple[str, str]:
    message = f"{where} has {reader.size} bytes in {reader_name}, {writer.size} in {writer_name}"
    keep = writer.size if edit_reader else reader.size
    return message, f"keep the size {keep}; another size is another field of another name with a default"


def _symbols(
    reader: Node, writer: Node, where: str, detail: str, edit_reader: bool, reader_name: str, writer_name: str
) -> tuple[str, str]:
    missing = detail.strip("[]")
    message = f"{where}: {reader_name} lacks the symbols {missing} of {writer_name}, and {reader.title} has no default"
    if edit_reader:
        return message, f'put {missing} back, or give {reader.title} a "default" that stands for symbols it lacks'
    return message, (
        f"do not add {missing} here: {reader_name} has no default to read it as; add another field of another enum "
        "that has a default from its first version on"
    )


def _default(
    reader: Node, writer: Node, where: str, name: str, edit_reader: bool, reader_name: str, writer_name: str
) -> tuple[str, str]:
    message = f"{reader_name} has the field {where} without a default, and {writer_name} does not write it"
    if not edit_reader:
        return message, f"put the field {name} back: {reader_name} cannot do without it, {_BREAKING}"
    gone = {item.name for item in writer.fields} - {item.name for item in reader.fields}
    near = difflib.get_close_matches(name, sorted(gone), n=1, cutoff=0.5)
    renamed = f'; if it is {near[0]} renamed, add "aliases": ["{near[0]}"]' if near else ""
    return message, f"give the field {name} a default (null for an optional one, with null first in its union){renamed}"


def _type(
    reader: Node, writer: Node, where: str, detail: str, edit_reader: bool, reader_name: str, writer_name: str
) -> tuple[str, str]:
    if reader.kind == "enum" and writer.kind == "record":
        message = (
            f"{where} is {reader.title} in {reader_name}, and {writer_name} does not write it: the default of an enum "
            "stands for unknown symbols, not for a missing field"
        )
        if edit_reader:
            return message, f"give the field {where} itself a default, beside the default of its enum"
        return message, f"put the field {where} back: {reader_name} cannot do without it, {_BREAKING}"
    message = f"{where} is {reader.title} in {reader_name}, which cannot hold the {writer.title} of {writer_name}"
    keep, other = (writer, writer_name) if edit_reader else (reader, reader_name)
    if edit_reader and writer.kind == "null":
        return message, f"leave null in the union: records of {writer_name} hold it"
    return message, (
        f"keep {keep.title}, as in {other}; a type may only be widened (int to long to float to double, string to or "
        "from bytes); for another type add a field of another name with a default"
    )


def _alias(
    reader: Node, writer: Node, where: str, detail: str, edit_reader: bool, reader_name: str, writer_name: str
) -> tuple[str, str]:
    message = f"{detail} ({writer_name}): which of them is meant cannot be told"
    return message, "leave only one of these names: drop the alias, or the field that bears its name"


def _branch(
    reader: Node,
    writer: Node,
    where: str,
    edit_reader: bool,
    reader_name: str,
    writer_name: str,
    causes: Sequence[Incompatibility],
) -> tuple[str, str]:
    if causes:
        reasons = "; ".join(dict.fromkeys(cause.message for cause in causes))
        fixes = "; ".join(dict.fromkeys(cause.fix for cause in causes))
        return f"{where}: {writer.title} of {writer_name} fits no branch of {reader_name}: {reasons}", fixes
    message = f"{where} is {reader.title} in {reader_name}, which has no branch for the {writer.title} of {writer_name}"
    if edit_reader:
        return message, f"leave {writer.title} in the union: records of {writer_name} hold it"
    return message, (
        f"do not write {writer.title} here: {reader_name} has no branch for it; add a field of another name with a "
        f"default, {_BREAKING}"
    )
