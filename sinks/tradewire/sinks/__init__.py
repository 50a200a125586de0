"""From Kafka into ClickHouse, and out of both again: the sink, history, replay."""

from tradewire.sinks.complete import CompleteUpTo
from tradewire.sinks.complete_history import Answered, CompleteHistory
from tradewire.sinks.digest import Digest, digest_of, read_file, without_replay_id
from tradewire.sinks.flow import Flow, FlowStep, StoredEvent, flow_tree
from tradewire.sinks.history import Answer, EventFilter, History, Page, PartitionCount, ReadPage, Stats
from tradewire.sinks.records import Record
from tradewire.sinks.replay import OffsetRange, Replay, ReplayPlan, ReplayResult
from tradewire.sinks.sink import Sink, sink_topics

__all__ = [
    "Answer",
    "Answered",
    "CompleteHistory",
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
    "digest_of",
    "flow_tree",
    "read_file",
    "sink_topics",
    "without_replay_id",
]
