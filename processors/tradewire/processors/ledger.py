"""How far each partition may be committed: never past a record whose work is not done.

Faust finds that place by looking for gaps between acknowledged offsets, and misses the gap at the head of the list: it
can commit past an event that is still being worked on, which is then lost in a crash. Here every range of records that
is handed out is written down as a claim, so the lowest open claim is the limit, whatever was acknowledged beyond it and
whatever was committed before (nothing, or offset 0, included).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Partition = TypeVar("Partition", bound=Hashable)


@dataclass(slots=True, eq=False)
class Claim(Generic[Partition]):
    """Records ``first`` to ``last`` of a partition, handed out to be worked on. Made by ``Ledger.claim``."""

    partition: Partition
    first: int
    last: int


@dataclass(slots=True)
class _Account(Generic[Partition]):
    first: int
    # In the order in which they were handed out, which is the order of their offsets.
    open: dict[Claim[Partition], None] = field(default_factory=dict)
    done_to: int | None = None


class Ledger(Generic[Partition]):
    """Open and settled claims by partition. Not thread-safe: it lives on the worker's event loop."""

    def __init__(self) -> None:
        self._accounts: dict[Partition, _Account[Partition]] = {}

    def claim(self, partition: Partition, first: int, last: int) -> Claim[Partition]:
        """Writes down that these records are being worked on. Claims of a partition are made in offset order."""
        claim = Claim(partition, first, last)
        account = self._accounts.get(partition)
        if account is None:
            account = self._accounts[partition] = _Account(first)
        account.open[claim] = None
        return claim

    def settle(self, claim: Claim[Partition]) -> None:
        """Writes down that all effects of a claim stand.

        A claim from before ``forget`` is ignored: its partition was given away, and its records will be read again.
        """
        account = self._accounts.get(claim.partition)
        if account is None or claim not in account.open:
            return
        del account.open[claim]
        if account.done_to is None or claim.last > account.done_to:
            account.done_to = claim.last

    def split(self, claim: Claim[Partition], offset: int) -> Claim[Partition]:
        """Cuts the newest claim of a partition before ``offset``, which lies within it; returns the claim of the rest.

        Of a claim from before ``forget`` nothing is written down, as with ``settle``.
        """
        account = self._accounts.get(claim.partition)
        is_open = account is not None and claim in account.open
        rest = (self.claim if is_open else Claim)(claim.partition, offset, claim.last)
        claim.last = offset - 1
        return rest

    def committable(self, partition: Partition) -> int | None:
        """The offset to commit: all records before it are done. None if nothing can be committed since ``forget``."""
        account = self._accounts.get(partition)
        if account is None or account.done_to is None:
            return None
        for claim in account.open:
            # The oldest open claim: what is done behind it does not count yet.
            return claim.first if claim.first > account.first else None
        return account.done_to + 1

    def first_open(self, partition: Partition) -> int | None:
        """The oldest record whose work is not done; None if all that was handed out is."""
        account = self._accounts.get(partition)
        return None if account is None else next((claim.first for claim in account.open), None)

    def forget(self) -> None:
        """Closes all accounts, on a rebalance: what was not committed is read again, by whoever owns it then."""
        self._accounts.clear()

    def open_claims(self) -> int:
        """Number of claims whose work is not done."""
        return sum(len(account.open) for account in self._accounts.values())

    def __iter__(self) -> Iterator[Partition]:
        return iter(list(self._accounts))
