"""Order-keeping dead letters: while a key is parked its records wait in order, all other keys flow on."""

from tradewire.processors.parking.errors import LettersMissing, NotOwned, ParkingFull, ParkingUnconfirmed
from tradewire.processors.parking.facts import ParkedKey
from tradewire.processors.parking.lot import ParkingLot
from tradewire.processors.parking.metrics import ParkingMetrics
from tradewire.processors.parking.reading import DeadLetter
from tradewire.processors.parking.redrive import Redrive
from tradewire.processors.parking.rules import Parking, Standing

__all__ = [
    "DeadLetter",
    "LettersMissing",
    "NotOwned",
    "ParkedKey",
    "Parking",
    "ParkingFull",
    "ParkingLot",
    "ParkingMetrics",
    "ParkingUnconfirmed",
    "Redrive",
    "Standing",
]
