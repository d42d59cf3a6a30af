"""What a process keeps unpacked: never out of date, and bounded."""

from analytics.shelves import Shelves

DOOR, HALL, YARD = (1, "members"), (2, "members"), (3, "members")


def test_a_value_is_found_by_the_digest_of_its_content_and_no_other() -> None:
    shelves = Shelves(1000)
    shelves.put(DOOR, [(11, "old", 10), (12, "another", 10)])
    assert shelves.get(DOOR, [12, 13, 11]) == ["another", None, "old"]
    assert shelves.get(HALL, [11]) == [None]
    assert shelves.get((1, "dwells"), [11]) == [None]


def test_the_shelf_that_was_not_used_for_longest_goes_first() -> None:
    shelves = Shelves(100)
    for shelf in (DOOR, HALL):
        shelves.put(shelf, [(1, "value", 40)])
    shelves.get(DOOR, [1])
    shelves.put(YARD, [(1, "value", 40)])
    assert [shelves.get(shelf, [1]) for shelf in (DOOR, HALL, YARD)] == [["value"], [None], ["value"]]


def test_what_is_put_twice_counts_once_and_a_shelf_that_is_too_large_alone_is_kept_while_it_is_used() -> None:
    shelves = Shelves(100)
    shelves.put(DOOR, [(1, "value", 60)])
    shelves.put(DOOR, [(1, "value", 60)])
    shelves.put(HALL, [(1, "value", 40)])
    assert shelves.get(DOOR, [1]) == ["value"]
    shelves.put(YARD, [(1, "value", 400)])
    assert [shelves.get(shelf, [1]) for shelf in (DOOR, HALL, YARD)] == [[None], [None], ["value"]]


def test_nothing_is_left_after_all_was_forgotten() -> None:
    shelves = Shelves(100)
    shelves.put(DOOR, [(1, "value", 60)])
    shelves.clear()
    assert shelves.get(DOOR, [1]) == [None]
    shelves.put(HALL, [(1, "value", 60)])
    shelves.put(YARD, [(1, "value", 40)])
    assert shelves.get(HALL, [1]) == ["value"]
