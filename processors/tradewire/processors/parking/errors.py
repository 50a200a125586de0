"""What stops parking. After any of these the record is not acknowledged, and the process that holds it ends."""

from __future__ import annotations

from tradewire.core.errors import ProcessingError


class ParkingFull(ProcessingError):
    """Raised when a key has as many records parked as it may have; names key and setting. Nothing was written.

    Operator: correct what fails and re-drive the key, or discard it, or raise ``parked_per_key_max``; until
    then the consumer halts at this record, and starts again at it.
    """


class ParkingUnconfirmed(ProcessingError):
    """Raised when Kafka has not confirmed a letter or a state in time. It may stand all the same: do not acknowledge.

    The lot refuses everything from then on. End the process: the record is read again, and known if it was written.
    """

    retriable = True


class LettersMissing(ProcessingError):
    """Raised when a parked key has fewer letters in its topic than were written: retention has deleted them.

    Operator: restore them from the history (``dead_letters`` or ``events`` of ClickHouse), or discard what is gone.
    """


class NotOwned(ProcessingError):
    """Raised when a record is to be parked whose partition belongs to another consumer now. Nothing was written.

    Forget the record: it was not acknowledged, so its new owner reads it.
    """

    retriable = True
