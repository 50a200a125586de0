"""The engine's configuration files, written into the data folder at each start."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

# The embedded engine's own user may not manage access or look at policies unless a users file says so.
_USERS: Final = """<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <access_management>1</access_management>
      <named_collection_control>1</named_collection_control>
    </default>
  </users>
</clickhouse>
"""

_QUERY_LOG: Final = """
  <query_log>
    <database>system</database>
    <table>query_log</table>
    <flush_interval_milliseconds>1000</flush_interval_milliseconds>
    <engine>ENGINE = MergeTree ORDER BY event_time TTL event_date + INTERVAL 1 DAY DELETE</engine>
  </query_log>"""

# Merging a part costs as much as inserting it: on few cores that is to wait for a quieter moment than a burst. Without
# the right to change it back (CAP_SYS_NICE) the engine leaves the value as it is.
_ENGINE: Final = """<clickhouse>
  <users_config>{users}</users_config>
  <mark_cache_size>268435456</mark_cache_size>
  <os_threads_nice_value_merge_mutate>10</os_threads_nice_value_merge_mutate>{query_log}
</clickhouse>
"""


# Without it the engine keeps `system` in memory: no SHOW CREATE of its tables, and the query log ends with the process.
_SYSTEM_DATABASE: Final = "ATTACH DATABASE _ UUID '{uuid}'\nENGINE = Atomic\n"


def write(folder: Path, *, query_log: bool) -> Path:
    """Write the files and give the path of the main one. The query log keeps a day."""
    system = folder / "metadata" / "system.sql"
    if not system.exists():
        system.parent.mkdir(exist_ok=True)
        # All or nothing: a half-written file would keep the engine from ever starting on this folder again.
        unfinished = system.with_suffix(".unfinished")
        unfinished.write_text(_SYSTEM_DATABASE.format(uuid=uuid.uuid4()))
        unfinished.replace(system)
    users = folder / "users.xml"
    users.write_text(_USERS)
    engine = folder / "engine.xml"
    engine.write_text(_ENGINE.format(users=escape(str(users)), query_log=_QUERY_LOG if query_log else ""))
    return engine
