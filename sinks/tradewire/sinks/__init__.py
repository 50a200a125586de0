"""From Kafka into ClickHouse, and out of both again: the sink, history, replay."""

from tradewire.sinks.complete import CompleteUpTo, complete_line
from tradewire.sinks.digest import Digest, digest_of, read_file, without_replay_id
from tradewire.sinks.event_pages import EventFilter
from tradewire.sinks.flow import Flow, FlowStep, StoredEvent, flow_tree
from tradewire.sinks.history import Answered, History
from tradewire.sinks.records import Record
from tradewire.sinks.replay import OffsetRange, Replay, ReplayPlan, ReplayResult
from tradewire.sinks.sink import Sink, sink_topics
from tradewire.sinks.stored_history import Answer, Page, PartitionCount, ReadPage, Stats, StoredHistory

__all__ = [
    "Answer",
    "Answered",
    "CompleteUpTo",
    "Digest",
    "EventFilter",
    "Flow",
    "FlowStep",
    "History",
    "OffsetRange",
    "Page",
    "PartitionCount",
    "ReadPage",
    "Record",
    "Replay",
    "ReplayPlan",
    "ReplayResult",
    "Sink",
    "Stats",
    "StoredEvent",
    "StoredHistory",
    "complete_line",
    "digest_of",
    "flow_tree",
    "read_file",
    "sink_topics",
    "without_replay_id",
]
