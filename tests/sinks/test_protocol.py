"""The exactly-once protocol of one partition, step by step; test_sink_model.py runs it against faults."""

from __future__ import annotations

import pytest

from tradewire.sinks.protocol import NO_OFFSET, ForeignCommit, Intent, PartitionProtocol, RecordsGone

TOPIC = "t"


def test_an_intent_survives_being_offset_metadata() -> None:
    intent = Intent(5, 2**62, 1_000_000, 3, tuple(range(10**9, 10**9 + 200)))

    assert intent == Intent.decode(intent.encode())
    assert len(intent.encode()) < 4096


@pytest.mark.parametrize("metadata", ["{}", "x", '{"sink":2,"lo":1}', "[]"])
def test_metadata_of_others_are_refused(metadata: str) -> None:
    with pytest.raises(ForeignCommit, match="another consumer"):
        Intent.decode(metadata)


@pytest.mark.parametrize("metadata", ["", None])
def test_no_metadata_is_no_intent(metadata: str | None) -> None:
    assert Intent.decode(metadata) is None


def test_tokens_name_version_partition_range_group_and_rows() -> None:
    assert Intent(3, 9, 5, 1).token("a.b", 2, 77, 4) == "v1:1:a.b:2:3-9:77:4"


def test_a_fresh_group_begins_at_the_oldest_record() -> None:
    assert 17 == PartitionProtocol(TOPIC, 0).begin(NO_OFFSET, None, 17)


def test_records_that_retention_took_before_they_were_stored_stop_the_sink() -> None:
    with pytest.raises(RecordsGone, match="7 offsets are gone"):
        PartitionProtocol(TOPIC, 0).begin(10, "", 17)


def test_a_compacted_topic_may_begin_later() -> None:
    assert 17 == PartitionProtocol(TOPIC, 0, compacted=True).begin(10, "", 17)


def test_an_intent_whose_records_are_not_those_it_counted_stops_the_sink() -> None:
    protocol = PartitionProtocol(TOPIC, 0)
    protocol.begin(5, Intent(5, 8, 4).encode(), 0)

    with pytest.raises(RecordsGone, match="counted 4 records in 5-8, Kafka now has 3"):
        protocol.replay([5, 6, 8])


def test_compaction_may_take_records_of_an_intent() -> None:
    protocol = PartitionProtocol(TOPIC, 0, compacted=True)
    protocol.begin(5, Intent(5, 8, 4).encode(), 0)

    assert 1 == protocol.ready_rows([7, 9, 12])
    assert Intent(5, 8, 4) == protocol.replay([7])


def test_a_replay_waits_until_all_of_its_records_are_read() -> None:
    protocol = PartitionProtocol(TOPIC, 0)
    protocol.begin(5, Intent(5, 8, 4).encode(), 0)

    assert protocol.ready_rows([5, 6, 7]) is None
    assert 4 == protocol.ready_rows([5, 6, 7, 8])


def test_an_offset_that_was_moved_beside_its_intent_is_refused() -> None:
    with pytest.raises(ForeignCommit, match="reset"):
        PartitionProtocol(TOPIC, 0).begin(3, Intent(5, 8, 4).encode(), 0)
