"""What a broker cannot tell for a moment is asked for again, be it of one partition alone. Scripted answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from tradewire.core import KafkaUnavailable
from tradewire.core.settings import KafkaSettings
from tradewire.processors.parking.reading import asked, told

KAFKA = KafkaSettings(bootstrap_servers="127.0.0.1:1")


def place(offset: int, code: int | None = None) -> Any:
    return SimpleNamespace(offset=offset, error=None if code is None else KafkaError(code))


def test_a_partition_without_a_leader_is_asked_about_again_and_not_taken_for_one_without_offsets() -> None:
    answers = [[place(4), place(-1001, KafkaError.NOT_LEADER_FOR_PARTITION)], [place(4), place(7)]]

    assert [4, 7] == [found.offset for found in asked(KAFKA, lambda: told(answers.pop(0)))]
    assert [] == answers


def test_what_asking_again_will_not_change_is_told_at_once() -> None:
    asked_for = []

    def refused() -> Any:
        asked_for.append(1)
        return told([place(-1001, KafkaError.TOPIC_AUTHORIZATION_FAILED)])

    with pytest.raises(KafkaUnavailable, match="does not answer"):
        asked(KAFKA, refused)
    assert [1] == asked_for


def test_an_answer_about_all_is_asked_for_again_as_well() -> None:
    answers = [KafkaException(KafkaError(KafkaError.COORDINATOR_LOAD_IN_PROGRESS)), 3]

    def question() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert 3 == asked(KAFKA, question)
