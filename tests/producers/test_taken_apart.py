"""What `publish` says when the subject is forgotten."""

from __future__ import annotations

import pytest

from tradewire.core.errors import UnknownEventType
from tradewire.producers._typed import taken_apart
from tradewire.schemas import Catalogue

CATALOGUE = Catalogue.load()
DATA = {"secret": "of the whole order"}


@pytest.mark.parametrize(
    ("type", "said"),
    [
        (
            "trading.order.created",
            "publish of trading.order.created: subject is missing; it is the aggregate id, the data's order_id",
        ),
        (
            "market.trade.reported",
            "publish of market.trade.reported: subject is missing; it is the aggregate id, the data's venue and "
            "symbol, as {venue}:{symbol}",
        ),
    ],
)
def test_a_subject_that_is_missing_is_named_by_its_field_without_the_data(type: str, said: str) -> None:
    """Which field it is stands in the schema; the data are no part of the message."""
    with pytest.raises(TypeError) as refused:
        taken_apart(type, DATA, None, CATALOGUE)
    assert said == str(refused.value)


def test_a_type_that_is_unknown_is_told_as_such() -> None:
    """Its subject would be of no use."""
    with pytest.raises(UnknownEventType, match=r"did you mean trading\.order\.created"):
        taken_apart("trading.order.creatd", DATA, None, CATALOGUE)


def test_neither_object_nor_data_is_told_briefly() -> None:
    """The two ways to call it."""
    with pytest.raises(TypeError, match=r"^publish takes an object .* given 7 without data$"):
        taken_apart(7, None, None, CATALOGUE)
