"""Fields of the data are asked for by a path: into records, into lists, never into SQL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradewire.core import QueryError
from tradewire.sinks.payload import field_condition, path_steps
from tradewire.sinks.store import Store

PAYLOAD = (
    '{"symbol":"BTCUSDT","count":3,"is_last":true,"none":null,"candle":{"open":"61000.5"},'
    '"levels":[{"price":"1.5","ids":[7,8]},{"price":"2"}]}'
)


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("symbol", ["symbol"]),
        ("$.symbol", ["symbol"]),
        ("candle.open", ["candle", "open"]),
        ("levels[0].ids[12]", ["levels", 0, "ids", 12]),
        ("a[1][2]", ["a", 1, 2]),
        ("with blank", ["with blank"]),
    ],
)
def test_a_path_is_names_and_indexes(path: str, steps: list[str | int]) -> None:
    assert steps == path_steps(path)


@pytest.mark.parametrize(
    "path", ["", "$", "$.", "a.", ".a", "a[]", "a[-1]", "a[*]", "a[x]", "[0]", "a]0[", "a[9999999]"]
)
def test_what_is_no_path_is_refused_by_name(path: str) -> None:
    if path == "$":
        assert ["$"] == path_steps(path)  # a name like any other, of no field
        return
    with pytest.raises(QueryError, match="payload path") as caught:
        path_steps(path)
    assert f"data.{path}" == caught.value.context["field"]


@given(path=st.text(max_size=40))
def test_no_path_becomes_part_of_the_statement(path: str) -> None:
    """Names and indexes travel as parameters: paths of one shape have one statement."""
    try:
        steps = path_steps(path)
        condition, parameters = field_condition(3, path, "'")
    except QueryError:
        return
    alike = "".join(f"[{step}]" if isinstance(step, int) else f".x{at}" for at, step in enumerate(steps))[1:]
    assert condition == field_condition(3, alike, "")[0]
    assert [step if isinstance(step, str) else step + 1 for step in steps] == list(parameters.values())[:-1]


@pytest.mark.parametrize(
    ("path", "value", "found"),
    [
        ("symbol", "BTCUSDT", True),
        ("$.candle.open", "61000.5", True),
        ("count", "3", True),
        ("is_last", "true", True),
        ("levels[0].price", "1.5", True),
        ("levels[1].price", "2", True),
        ("levels[0].ids[1]", "8", True),
        ("levels[2].price", "2", False),
        ("levels[1].price", "1.5", False),
        ("levels", "[]", False),
        ("none", "null", False),
        ("nowhere.to[1].be", "", False),
    ],
)
def test_the_engine_compares_what_the_path_names(store: Store, path: str, value: str, found: bool) -> None:
    condition, parameters = field_condition(0, path, value)

    rows = store.query(f"SELECT count() FROM (SELECT {{p:String}} AS payload_text) WHERE {condition}",
                       {"p": PAYLOAD, **parameters})  # fmt: skip

    assert [[int(found)]] == [list(row) for row in rows]
