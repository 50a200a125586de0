"""The same idempotency key gives the same answer, and runs the work once."""

from __future__ import annotations

import asyncio

import pytest

from tradewire.gateway.idempotency import Answer, IdempotentAnswers, read_key
from tradewire.gateway.problems import Problem


class Work:
    def __init__(self) -> None:
        self.runs = 0
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.error: Exception | None = None

    async def __call__(self) -> Answer:
        self.runs += 1
        await self.may_end.wait()
        if self.error is not None:
            raise self.error
        return Answer(201, str(self.runs).encode())


async def test_a_repeat_is_answered_from_memory() -> None:
    """The work runs once, and the caller is told that the answer is an earlier one."""
    answers, work = IdempotentAnswers(), Work()

    first = await answers.once("k", b"body", work)
    again = await answers.once("k", b"body", work)

    assert (Answer(201, b"1"), False) == first
    assert (Answer(201, b"1"), True) == again
    assert 1 == work.runs


async def test_requests_that_overlap_share_one_run() -> None:
    """An impatient client that sends the same request twice does not publish twice."""
    answers, work = IdempotentAnswers(), Work()
    work.may_end.clear()

    both = [asyncio.create_task(answers.once("k", b"body", work)) for _ in range(2)]
    await asyncio.sleep(0)
    work.may_end.set()

    assert {False, True} == {repeated for _, repeated in await asyncio.gather(*both)}
    assert 1 == work.runs


async def test_a_key_with_another_body_is_refused() -> None:
    """Otherwise the second request would be lost without a word."""
    answers, work = IdempotentAnswers(), Work()
    await answers.once("k", b"body", work)

    with pytest.raises(Problem) as caught:
        await answers.once("k", b"another", work)

    assert (422, "idempotency-key-reused") == (caught.value.status, caught.value.slug)


async def test_a_failure_is_not_remembered() -> None:
    """The client repeats a request that failed, and then it may succeed; who waited meanwhile is told as well."""
    answers, work = IdempotentAnswers(), Work()
    work.error = RuntimeError("away")
    work.may_end.clear()
    both = [asyncio.create_task(answers.once("k", b"body", work)) for _ in range(2)]
    await asyncio.sleep(0)
    work.may_end.set()

    failed = await asyncio.gather(*both, return_exceptions=True)
    work.error = None
    after = await answers.once("k", b"body", work)

    assert ["away", "away"] == [str(error) for error in failed]
    assert (Answer(201, b"2"), False) == after


async def test_a_client_that_goes_away_leaves_no_key_behind() -> None:
    """A cancelled request may be repeated."""
    answers, work = IdempotentAnswers(), Work()
    work.may_end.clear()
    task = asyncio.create_task(answers.once("k", b"body", work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    work.may_end.set()

    assert (Answer(201, b"2"), False) == await answers.once("k", b"body", work)


async def test_only_the_newest_keys_are_kept() -> None:
    """Memory is bounded; a key that was used lately outlives one that was not."""
    answers, work = IdempotentAnswers(keys_max=2), Work()
    for key in ("a", "b", "a", "c"):
        await answers.once(key, b"", work)

    assert (True, False) == ((await answers.once("a", b"", work))[1], (await answers.once("b", b"", work))[1])


def test_the_header_may_be_quoted() -> None:
    """The draft has a structured field with quotes, many clients send it without."""
    assert ("k 1", "k 1", None) == (read_key('"k 1"'), read_key("k 1"), read_key(None))


@pytest.mark.parametrize("header", ["", '""', "x" * 256, "é", "a\tb"])
def test_a_key_that_is_no_key_is_refused(header: str) -> None:
    """Empty, too long, or not printable ASCII."""
    with pytest.raises(Problem) as caught:
        read_key(header)

    assert 400 == caught.value.status
