"""The contract: Avro catalogue, event, codec, CloudEvents headers, registry ids, topics."""

from tradewire.schemas._fingerprint import full_name
from tradewire.schemas._shape import readable_schema
from tradewire.schemas.catalogue import Catalogue, EventSchema, EventType, Written
from tradewire.schemas.codec import Codec, Decoded, Encoder, Frame, read_event, read_frame
from tradewire.schemas.compatibility import CompatibilityLevel, Incompatibility, can_read, check_compatibility
from tradewire.schemas.contract import Contract
from tradewire.schemas.event import NO_TAGS, Event, Position
from tradewire.schemas.headers import Envelope, Header, decode_headers, encode_headers, format_time_ns, parse_time_ns
from tradewire.schemas.reading import NewerVersion, UpcastFailed
from tradewire.schemas.registry import (
    ArchivedSchema,
    FixedIds,
    RegistryIds,
    SchemaArchive,
    SchemaIds,
    subject_of,
)
from tradewire.schemas.topic_admin import TopicAdmin
from tradewire.schemas.topics import Topic, TopicChange, TopicOnBroker, Topics, plan_topics
from tradewire.schemas.typed_data import TypedData

__all__ = [
    "NO_TAGS",
    "ArchivedSchema",
    "Catalogue",
    "Codec",
    "CompatibilityLevel",
    "Contract",
    "Decoded",
    "Encoder",
    "Envelope",
    "Event",
    "EventSchema",
    "EventType",
    "FixedIds",
    "Frame",
    "Header",
    "Incompatibility",
    "NewerVersion",
    "Position",
    "RegistryIds",
    "SchemaArchive",
    "SchemaIds",
    "Topic",
    "TopicAdmin",
    "TopicChange",
    "TopicOnBroker",
    "Topics",
    "TypedData",
    "UpcastFailed",
    "Written",
    "can_read",
    "check_compatibility",
    "decode_headers",
    "encode_headers",
    "format_time_ns",
    "full_name",
    "parse_time_ns",
    "plan_topics",
    "read_event",
    "read_frame",
    "readable_schema",
    "subject_of",
]
