"""The letters of one key on their way to the handler again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from tradewire.processors.parking.errors import LettersMissing
from tradewire.processors.parking.facts import ParkedKey, Request
from tradewire.processors.parking.reading import DeadLetter

if TYPE_CHECKING:
    from tradewire.processors.parking.lot import ParkingLot


class Redrive:
    """The letters of one key, in order, for its handler. Iterate it; say ``done`` or ``failed`` of each letter.

    The letter that comes next is decided when it is asked for, so one may be taken at a time between other work. Left
    before its end (a crash, a rebalance, a ``break``) it stays due, and begins behind the last letter that was done.
    When iteration ends by itself the key is free, or a letter has failed.
    """

    def __init__(self, lot: ParkingLot, key: ParkedKey, request: Request, letters: list[DeadLetter]) -> None:
        self.key = key
        self.request = request
        self.settled = 0
        self._lot = lot
        self._letters = deque(letters)
        self._given: DeadLetter | None = None
        self._over = False

    def __iter__(self) -> Iterator[DeadLetter]:
        return self

    def __next__(self) -> DeadLetter:
        """The next letter.

        Raises:
            StopIteration: the key is drained, a letter has failed, or the partition belongs to another.
            ValueError: nothing was said of the letter before.
            ParkingUnconfirmed, KafkaUnavailable: as in ``ParkingLot``.
        """
        if self._given is not None:
            raise ValueError(f"say done or failed of {self._given.topic}[{self._given.partition}]@{self._given.offset}")
        if self._over:
            raise StopIteration
        letter = self._lot.next_letter(self)
        if letter is None:
            self._over = True
            raise StopIteration
        self._given = letter
        return letter

    def done(self, letter: DeadLetter) -> None:
        """The letter was handled. Its place is written without waiting: after a crash it may come once more."""
        self._given = None
        self._lot.settle(self, letter.offset, "done")

    def failed(self, letter: DeadLetter, error: BaseException) -> None:
        """The letter failed again: its key stays parked from there, and the request is answered. Blocks for that."""
        self._given, self._over = None, True
        self._lot.fail(self, error)

    def take(self, offset: int) -> DeadLetter | None:
        """Used by the lot: the letter at ``offset`` if it is in memory."""
        while self._letters and self._letters[0].offset < offset:
            self._letters.popleft()
        return self._letters.popleft() if self._letters and self._letters[0].offset == offset else None

    def refill(self, letters: list[DeadLetter]) -> None:
        """Used by the lot: letters read anew."""
        self._letters = deque(letters)


def missing_letter(key: ParkedKey, offset: int) -> LettersMissing:
    """The error for a letter that has to be there and is not."""
    return LettersMissing(
        f"{key}: the letter of offset {offset} is not in its topic any more; retention may have taken "
        f"others behind it. Restore it from the history, or discard it (`tradewire dlq discard`) and re-drive the rest",
        topic=key.topic,
        partition=key.partition,
        offset=offset,
    )
