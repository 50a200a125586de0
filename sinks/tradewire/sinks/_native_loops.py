"""Whether the loops in C (``_native.c``) are there: made at installation where a C compiler is found, never needed.

Each stands for one in Python, which does the same and remains for what C leaves to it: ``gather`` for
``RecordColumns.extend``, ``write_rows`` for ``ColumnwiseRows.build``, ``header_lists`` for ``HeaderColumns.lists``,
``canonical_rows`` for ``Digester.add_columns``, ``format_times`` for ``format_time_ns`` of a column.
"""

from __future__ import annotations

from typing import Final

try:
    from tradewire.sinks import _native as _module
except ImportError:  # no compiler at installation
    _module = None  # type: ignore[assignment]

# What this source was written for; a build of an older one is not used.
_ABI: Final = 2
NATIVE: Final = _module if _module is not None and _module.ABI == _ABI else None
