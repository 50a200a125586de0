"""The files of a folder of event types: which there are, and what is wrong with one.

A folder holds ``<domain>/<entity>.<fact>/v<N>.avsc`` and, beside a breaking version, its upcaster ``v<N>.py``. Files
whose names begin with a dot are not looked at (``.git``, what Kubernetes keeps in a mounted ConfigMap); links are
followed. The folder of a setting is trusted as the code of the service itself: upcasters in it are imported.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import fastavro

from tradewire.core.errors import SchemaFileError
from tradewire.schemas._schema_check import Fault, check_schema
from tradewire.schemas.upcasters import BUILT_IN, Upcaster

# The largest of ours has 10 KiB.
BYTES_MAX: Final = 1 << 20
_VERSION: Final = re.compile(r"v([1-9][0-9]{0,3})\.(avsc|py)\Z")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*\Z")
_UPCAST: Final = "upcast"


class SchemaFile(NamedTuple):
    """One file that was read and found good. ``upcaster`` is the function beside it, None without one."""

    type: str
    version: int
    schema: dict[str, Any]
    file: Path
    upcaster: Upcaster | None


def read_schema_files(folder: Path) -> Iterator[SchemaFile]:
    """Reads every file below a folder, by name.

    Raises:
        SchemaFileError: names file, field, reason and fix of the first that cannot be used.
    """
    if not folder.is_dir():
        raise SchemaFileError(f"{folder} is not a folder: does schemas.folder name the right place?", file=str(folder))
    upcasters: dict[Path, Path] = {}
    versions: list[tuple[Path, str, int]] = []
    for file in _files(folder):
        parts = file.relative_to(folder).parts
        if len(parts) != 3 and file.suffix.lower() != ".avsc":
            continue
        match = _VERSION.match(parts[-1])
        if len(parts) != 3 or match is None:
            if file.suffix.lower() in (".md", ".txt"):
                continue
            raise _refused(
                file, f"expected <domain>/<entity>.<fact>/v<N>.avsc (or v<N>.py) below {folder}", "rename it"
            )
        domain, entity_fact = parts[0], parts[1]
        if not all(map(_NAME.match, (domain, *entity_fact.split(".")))) or entity_fact.count(".") != 1:
            raise _refused(
                file, f"{domain}/{entity_fact} is not lower-case <domain>/<entity>.<fact>", "rename the folder"
            )
        if match.group(2) == "py":
            upcasters[file.with_suffix(".avsc")] = file
        else:
            versions.append((file, f"{domain}.{entity_fact}", int(match.group(1))))
    alone = upcasters.keys() - {file for file, _, _ in versions}
    if alone:
        file = min(alone)
        raise _refused(
            upcasters[file], f"there is no {file.name} beside this upcaster", "add it or remove the upcaster"
        )
    for file, type, version in versions:
        yield SchemaFile(type, version, _read(file, type, version), file, _upcaster(type, version, upcasters.get(file)))


def _files(folder: Path) -> Iterator[Path]:
    """Every file below a folder, links followed."""
    above: dict[str, set[str]] = {}
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_raise):
        path = Path(place)
        real = str(path.resolve())
        outer = above.get(str(path.parent), set()) if path != folder else set()
        if real in outer:
            raise _refused(path, "the link leads back to a folder that it lies in", "remove the link")
        above[place] = outer | {real}
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        for name in sorted(names):
            if not name.startswith("."):
                yield path / name


def _raise(error: OSError) -> None:
    raise SchemaFileError(
        f"{error.filename}: cannot be read: {error.strerror}; allow this process to read it"
    ) from error


def _read(file: Path, type: str, version: int) -> dict[str, Any]:
    try:
        if not file.is_file():
            raise _refused(file, "it is no regular file, or a link to nothing", "put a file there")
        size = file.stat().st_size
        if size > BYTES_MAX:
            raise _refused(file, f"it has {size} bytes; a schema has at most {BYTES_MAX}", "is it data?")
        schema = json.loads(
            file.read_bytes().decode("utf-8-sig"), object_pairs_hook=_object, parse_constant=_no_constant
        )
    except UnicodeDecodeError as error:
        raise _refused(
            file, f"it is not UTF-8 (byte {error.start}), so it cannot be read as JSON", "save it as UTF-8"
        ) from error
    except (ValueError, RecursionError) as error:
        raise _refused(file, f"cannot be read as JSON: {error}", "correct it") from error
    except OSError as error:
        raise _refused(file, f"cannot be read: {error.strerror}", "allow this process to read it") from error
    try:
        check_schema(schema, type, version)
        fastavro.parse_schema(json.loads(json.dumps(schema)))
    except Fault as fault:
        raise SchemaFileError(f"{file}: {fault}", file=str(file), field=fault.field, fix=fault.fix) from None
    except Exception as error:  # the last net: fastavro raises several unrelated kinds
        raise _refused(file, f"not a valid Avro schema: {error!r}", "correct it") from error
    read: dict[str, Any] = schema
    return read


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"an object has {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


def _upcaster(type: str, version: int, file: Path | None) -> Upcaster | None:
    if file is None:
        return BUILT_IN.get((type, version))
    name = f"_tradewire_upcaster_{type.replace('.', '_')}_v{version}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise _refused(file, "it cannot be imported", "is it Python?")
    module = importlib.util.module_from_spec(spec)
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the folder may be read-only, and is not ours
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # of a user's own code
        raise _refused(file, f"the upcaster cannot be imported: {error!r}", "correct it") from error
    finally:
        sys.dont_write_bytecode = written
    found = getattr(module, _UPCAST, None)
    if not callable(found):
        raise _refused(file, f"it has no function {_UPCAST!r}", f"add: def {_UPCAST}(data): return {{**data, ...}}")
    function: Upcaster = found
    return function


def _refused(file: Path, why: str, fix: str) -> SchemaFileError:
    return SchemaFileError(f"{file}: {why}; {fix}", file=str(file), fix=fix)
