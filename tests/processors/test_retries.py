"""When a failed handler is called again."""

from __future__ import annotations

import ssl
from random import Random
from typing import ClassVar

import pytest
from confluent_kafka import KafkaError, KafkaException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tradewire.core import KafkaUnavailable, MalformedRecord, RegistryUnavailable
from tradewire.processors import GiveUp, RetryAfter, RetryPolicy

policies = st.builds(
    lambda attempts, base, more, total: RetryPolicy(attempts, base, base + more, total),
    st.integers(1, 50),
    st.integers(0, 5_000),
    st.integers(0, 100_000),
    st.integers(0, 1_000_000),
)


class ForeignTransient(Exception):
    """Of a library that says itself what it is, as aiokafka does."""

    retriable: ClassVar[bool] = True


class OwnTransient(Exception):
    """Of a service."""


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KafkaUnavailable("away"), True),
        (RegistryUnavailable("away"), True),
        (MalformedRecord("bad"), False),
        (ForeignTransient(), True),
        (KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION, retriable=True)), True),
        (KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)), False),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (OSError(28, "no space left"), True),
        (FileNotFoundError(), False),
        (PermissionError(), False),
        (ssl.SSLCertVerificationError("self-signed"), False),
        (KeyError("price"), False),
        (ValueError(), False),
        (OwnTransient(), False),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_errors_are_classified_by_what_they_say_of_themselves(error: Exception, expected: bool) -> None:
    assert expected == RetryPolicy().is_retriable(error)


def test_what_the_policy_names_comes_before_all_rules() -> None:
    policy = RetryPolicy(retriable=(OwnTransient, KeyError), permanent=(TimeoutError, KafkaUnavailable))

    assert policy.is_retriable(OwnTransient())
    assert policy.is_retriable(KeyError())
    assert not policy.is_retriable(TimeoutError())
    assert not policy.is_retriable(KafkaUnavailable("away"))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policies, st.integers(), st.integers(1, 100), st.floats(0, 2_000))
def test_a_wait_lies_within_all_bounds(policy: RetryPolicy, seed: int, attempts: int, waited_s: float) -> None:
    decided = policy.after(TimeoutError(), attempts, waited_s, Random(seed))

    if isinstance(decided, RetryAfter):
        assert attempts < policy.attempts_max
        assert 0 <= decided.delay_s <= min(policy.cap_ms, policy.base_ms * 2 ** (attempts - 1)) / 1000
        assert waited_s + decided.delay_s <= policy.total_ms_max / 1000
    else:
        assert decided.reason in ("attempts", "time")
        assert ("attempts" == decided.reason) == (attempts >= policy.attempts_max)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policies, st.integers())
def test_a_handler_that_always_fails_is_called_so_often_and_for_so_long(policy: RetryPolicy, seed: int) -> None:
    random, attempts, waited_s = Random(seed), 1, 0.0
    while isinstance(decided := policy.after(TimeoutError(), attempts, waited_s, random), RetryAfter):
        attempts, waited_s = attempts + 1, waited_s + decided.delay_s

    assert attempts <= policy.attempts_max
    assert waited_s <= policy.total_ms_max / 1000


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policies, st.integers(), st.integers(1, 100))
def test_the_same_seed_gives_the_same_waits(policy: RetryPolicy, seed: int, attempts: int) -> None:
    answers = [policy.after(TimeoutError(), attempts, 0.0, Random(seed)) for _ in range(2)]

    assert answers[0] == answers[1]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(policies, st.integers(1, 100), st.floats(0, 2_000))
def test_a_permanent_error_is_given_up_at_once(policy: RetryPolicy, attempts: int, waited_s: float) -> None:
    assert GiveUp("permanent") == policy.after(KeyError(), attempts, waited_s, Random(1))


def test_waits_fill_the_whole_span_up_to_the_cap() -> None:
    """Full jitter: half of the waits lie in the lower half, and the longest span is the cap."""
    policy, random = RetryPolicy(attempts_max=100, base_ms=100, cap_ms=30_000, total_ms_max=10**9), Random(7)
    waits = []
    for _ in range(2_000):
        decided = policy.after(TimeoutError(), 20, 0.0, random)
        assert isinstance(decided, RetryAfter)
        waits.append(decided.delay_s)

    assert 900 <= sum(wait < 15 for wait in waits) <= 1_100
    assert min(waits) < 1
    assert 29 < max(waits) <= 30
    assert [0.1, 0.2, 0.4, 0.8] == [policy.delay_s_max(attempts) for attempts in (1, 2, 3, 4)]


def test_a_policy_that_contradicts_itself_is_refused() -> None:
    for attempts, base, cap, total in ((0, 1, 1, 1), (1, 2, 1, 1), (1, -1, 1, 1), (1, 1, 1, -1)):
        with pytest.raises(ValueError, match=r"attempts_max|base_ms|total_ms_max"):
            RetryPolicy(attempts, base, cap, total)
