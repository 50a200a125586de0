"""Headers of dead letters as others write them, captured from their own code; of stack traces the first line.

- ``CONNECT``: Kafka Connect 4.3.1, standalone, a FileStreamSinkConnector with JsonConverter, given ``not json``;
  ``errors.tolerance=all``, ``errors.deadletterqueue.context.headers.enable=true``.
- ``STREAMS``: Kafka Streams 4.3.1 (KIP-1034), ``errors.dead.letter.queue.topic.name`` with
  LogAndContinueProcessingExceptionHandler; a ``foreach`` that threw.
- ``SPRING``: Spring for Apache Kafka 4.0.0, DeadLetterPublishingRecoverer given a record (partition 2, offset 41) and
  a ListenerExecutionFailedException of the group ``spring.group``.

Each record had one header of its own before: ``ce_id``.
"""

from __future__ import annotations

from tradewire.schemas import Header

CONNECT: list[Header] = [
    ("ce_id", b"1"),
    ("__connect.errors.topic", b"connect.in"),
    ("__connect.errors.partition", b"0"),
    ("__connect.errors.offset", b"0"),
    ("__connect.errors.connector.name", b"failing-sink"),
    ("__connect.errors.task.id", b"0"),
    ("__connect.errors.stage", b"VALUE_CONVERTER"),
    ("__connect.errors.class.name", b"org.apache.kafka.connect.json.JsonConverter"),
    ("__connect.errors.exception.class.name", b"org.apache.kafka.connect.errors.DataException"),
    (
        "__connect.errors.exception.message",
        b"Converting byte[] to Kafka Connect data failed due to serialization error: ",
    ),
    (
        "__connect.errors.exception.stacktrace",
        b"org.apache.kafka.connect.errors.DataException: Converting byte[] to Kafka Connect data failed due to "
        b"serialization error: ",
    ),
]
STREAMS: list[Header] = [
    ("ce_id", b"1"),
    ("__streams.errors.exception", b"java.lang.IllegalStateException"),
    ("__streams.errors.message", b"no such account"),
    (
        "__streams.errors.stacktrace",
        b"java.lang.IllegalStateException: no such account",
    ),
    ("__streams.errors.topic", b"streams.in"),
    ("__streams.errors.partition", b"0"),
    ("__streams.errors.offset", b"0"),
]
SPRING: list[Header] = [
    ("ce_id", b"1"),
    ("kafka_dlt-exception-fqcn", b"org.springframework.kafka.listener.ListenerExecutionFailedException"),
    ("kafka_dlt-exception-cause-fqcn", b"java.lang.IllegalStateException"),
    ("kafka_dlt-exception-message", b"Listener failed; no such account"),
    (
        "kafka_dlt-exception-stacktrace",
        b"org.springframework.kafka.listener.ListenerExecutionFailedException: Listener failed",
    ),
    ("kafka_dlt-original-topic", b"spring.in"),
    ("kafka_dlt-original-partition", b"\x00\x00\x00\x02"),
    ("kafka_dlt-original-offset", b"\x00\x00\x00\x00\x00\x00\x00)"),
    ("kafka_dlt-original-timestamp", b"\x00\x00\x01\x8b\xcf\xe5h{"),
    ("kafka_dlt-original-timestamp-type", b"CreateTime"),
    ("kafka_dlt-original-consumer-group", b"spring.group"),
]
