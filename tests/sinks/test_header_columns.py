"""Headers by columns are the headers that were put in."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tradewire.schemas.headers import Header
from tradewire.sinks.header_columns import HeaderColumns

values = st.one_of(st.none(), st.binary(max_size=3))
alike = st.tuples(values, values).map(lambda found: [("a", found[0]), ("b", found[1])])
rows = st.lists(st.one_of(alike, alike, st.lists(st.tuples(st.sampled_from("abc"), values), max_size=3)), max_size=20)


def columns_of(*parts: list[list[Header]]) -> HeaderColumns:
    made = HeaderColumns()
    for part in parts:
        made.extend(part)
    return made


@given(rows, rows)
def test_every_record_has_its_headers_again(first: list[list[Header]], second: list[list[Header]]) -> None:
    found = columns_of(first, second)
    both = [*first, *second]

    assert len(both) == len(found)
    assert both == [list(headers) for headers in found]
    assert both == [list(found[at]) for at in range(len(both))]
    assert both == list(found.lists())


@given(rows, rows, st.data())
def test_a_part_has_the_headers_of_its_records(
    first: list[list[Header]], second: list[list[Header]], data: st.DataObject
) -> None:
    found, both = columns_of(first, second), [*first, *second]
    begin = data.draw(st.integers(0, len(both)))
    end = data.draw(st.integers(begin, len(both)))
    part = found.part(begin, end)

    assert both[begin:end] == list(part.lists())
    part.append_all(found)
    assert [*both[begin:end], *both] == list(part.lists())
    assert both == list(found.lists()), "what a part takes in is not added to where it came from"


@given(rows, rows, st.data())
def test_columns_are_given_where_all_names_agree(
    first: list[list[Header]], second: list[list[Header]], data: st.DataObject
) -> None:
    found, both = columns_of(first, second), [*first, *second]
    if not both:
        return
    indexes = sorted(data.draw(st.sets(st.integers(0, len(both) - 1), min_size=1)))
    given_columns = found.columns(indexes)

    if given_columns is not None:
        names, columns = given_columns
        assert [[*zip(names, row, strict=True)] for row in zip(*columns, strict=True)] == [
            both[at] for at in indexes if both[at]
        ]
        assert {names} == {tuple(name for name, _ in both[at]) for at in indexes}


def test_rows_of_the_same_names_come_as_columns_however_they_arrived() -> None:
    rows: list[list[Header]] = [[("a", b"%d" % at), ("b", None)] for at in range(2_000)]
    found = columns_of(rows[:3], rows[3:700], rows[700:])

    assert (("a", "b"), [[b"%d" % at for at in range(1, 1_999)], [None] * 1_998]) == found.columns(range(1, 1_999))
