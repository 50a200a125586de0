"""Money and quantities in folds: exact Decimals, rounded in one place to the 18 places that the contract keeps."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Final

from tradewire.core.errors import ProcessingError

_TRAPS: Final = [InvalidOperation, DivisionByZero, Overflow]
# A product of two 38-digit numbers has 76 digits: nothing is rounded before ``rounded`` does it.
_EXACT: Final = Context(prec=100, rounding=ROUND_HALF_EVEN, traps=_TRAPS)
# 38 digits in all, as in the schemas: ``quantize`` refuses a result that needs more.
_STORED: Final = Context(prec=38, rounding=ROUND_HALF_EVEN, traps=_TRAPS)
_PLACES: Final = Decimal("1E-18")
ZERO: Final = Decimal("0E-18")


def rounded(value: Decimal) -> Decimal:
    """``value`` to 18 decimal places, half to even.

    Raises:
        ProcessingError: it needs more than 38 digits, which no field of the contract can hold, or is not a number.
    """
    try:
        return _STORED.quantize(value, _PLACES)
    except InvalidOperation as error:
        raise ProcessingError(f"{value} needs more than the 38 digits of a field, 18 of them decimal places") from error


def total(left: Decimal, right: Decimal) -> Decimal:
    """The sum, to 18 places. Raises ProcessingError beyond 38 digits."""
    return rounded(_EXACT.add(left, right))


def difference(left: Decimal, right: Decimal) -> Decimal:
    """``left - right`` to 18 places. Raises ProcessingError beyond 38 digits."""
    return rounded(_EXACT.subtract(left, right))


def product(left: Decimal, right: Decimal) -> Decimal:
    """The product, rounded once to 18 places. Raises ProcessingError beyond 38 digits."""
    return rounded(_EXACT.multiply(left, right))


def quotient(left: Decimal, right: Decimal) -> Decimal:
    """``left / right`` to 18 places; ``right`` is not zero. Raises ProcessingError beyond 38 digits."""
    return rounded(_EXACT.divide(left, right))


def share(whole: Decimal, part: Decimal, of: Decimal) -> Decimal:
    """``whole * part / of``, rounded once to 18 places; ``of`` is not zero. Raises ProcessingError beyond 38 digits."""
    return rounded(_EXACT.divide(_EXACT.multiply(whole, part), of))
