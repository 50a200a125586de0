"""When a handler that failed is called again, and when it is not: exponential backoff with full jitter, bounded twice.

The wait before the n-th repeat is drawn evenly from 0 to ``min(cap, base * 2^(n-1))``. Full jitter spreads the callers
of a service that comes back evenly over the whole wait (Brooker, "Exponential Backoff And Jitter", AWS Architecture
Blog, 2015).
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, Final, Literal, NamedTuple

from tradewire.core.errors import TradewireError

# OSErrors that tell of a wrong name or a missing right: the same call fails again until somebody changes something.
_LASTING: Final = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)
_DOUBLINGS_MAX: Final = 62


class RetryAfter(NamedTuple):
    """Call again when ``delay_s`` has passed."""

    delay_s: float


class GiveUp(NamedTuple):
    """Do not call again: the error is permanent, or a bound of the policy is reached."""

    reason: Literal["permanent", "attempts", "time"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and for how long.

    ``attempts_max`` counts the first call. No wait begins that would end more than ``total_ms_max`` after the first
    call failed, so a handler that keeps failing holds its key up for at most that long, plus its own calls.
    ``retriable`` and ``permanent`` name exception classes of the service's own libraries; they come before all rules.
    """

    attempts_max: int = 8
    base_ms: int = 100
    cap_ms: int = 30_000
    total_ms_max: int = 120_000
    retriable: tuple[type[BaseException], ...] = ()
    permanent: tuple[type[BaseException], ...] = ()

    def __post_init__(self) -> None:
        if self.attempts_max < 1:
            raise ValueError(f"attempts_max={self.attempts_max}: the first call counts, so it is at least 1")
        if not 0 <= self.base_ms <= self.cap_ms:
            raise ValueError(f"base_ms={self.base_ms} must lie between 0 and cap_ms={self.cap_ms}")
        if self.total_ms_max < 0:
            raise ValueError(f"total_ms_max={self.total_ms_max} is below zero")

    def after(self, error: BaseException, attempts: int, waited_s: float, random: Random) -> RetryAfter | GiveUp:
        """What to do after ``attempts`` calls failed, the last with ``error``, the first ``waited_s`` ago.

        A function of its arguments: the same state of ``random`` gives the same answer.
        """
        if not self.is_retriable(error):
            return GiveUp("permanent")
        if attempts >= self.attempts_max:
            return GiveUp("attempts")
        delay_s = random.uniform(0, self.delay_s_max(attempts))
        if waited_s + delay_s > self.total_ms_max / 1000:
            return GiveUp("time")
        return RetryAfter(delay_s)

    def delay_s_max(self, attempts: int) -> float:
        """The longest wait after so many failed calls."""
        return min(self.cap_ms, self.base_ms * (1 << min(attempts - 1, _DOUBLINGS_MAX))) / 1000

    def is_retriable(self, error: BaseException) -> bool:
        """Whether the same call may succeed later. The first rule that applies decides:

        1. the policy names its class: ``permanent``, then ``retriable``;
        2. it says so itself by an attribute ``retriable`` that is a bool: our own errors, and aiokafka's;
        3. a KafkaException of confluent-kafka holds an error that says so;
        4. an OSError (TimeoutError and ConnectionError are such) is retriable, unless it is about a name or a right
           (FileNotFoundError, PermissionError and their kin) or also a ValueError (a certificate that does not verify);
        5. everything else is permanent: a KeyError in a handler will be one the next time.
        """
        if isinstance(error, self.permanent):
            return False
        if isinstance(error, self.retriable):
            return True
        said = _says_itself(error)
        if said is not None:
            return said
        return isinstance(error, OSError) and not isinstance(error, (*_LASTING, ValueError))


def _says_itself(error: BaseException) -> bool | None:
    if isinstance(error, TradewireError):
        return error.retriable
    said: Any = getattr(error, "retriable", None)
    if isinstance(said, bool):
        return said
    inner: Any = error.args[0] if error.args else None
    asked = getattr(inner, "retriable", None)  # confluent_kafka.KafkaError
    if type(inner).__name__ == "KafkaError" and callable(asked):
        return bool(asked())
    return None
