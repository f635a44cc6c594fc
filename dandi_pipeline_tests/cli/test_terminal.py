"""Text from outside is shown, never obeyed."""

import pytest

from dandi_pipeline.cli.output import table
from dandi_pipeline.text import one_line, plain


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("sub-01_écran_マウス.nwb", "sub-01_écran_マウス.nwb"),
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("two\nlines\rover\tthere", r"two\nlines\rover\tthere"),
        ("\x9b31m", r"\x9b31m"),
        ("gpj\u202eexe", r"gpj\u202eexe"),
        ("line\u2028separator", r"line\u2028separator"),
        ("half \ud800 pair", r"half \ud800 pair"),
        ("narrow\u00a0space", "narrow space"),
        ("\x7f\x00", r"\x7f\x00"),
    ],
)
def test_what_could_steer_a_terminal_is_spelled_out(hostile: str, shown: str) -> None:
    assert plain(hostile) == shown


def test_a_wrapped_message_becomes_one_line() -> None:
    assert one_line("  cannot open\n    the file\x1b[0m ") == r"cannot open the file\x1b[0m"


def test_a_table_is_aligned_and_becomes_blocks_where_it_is_too_wide() -> None:
    headings, rows = (
        ("SOURCE", "STATE", "RECORDS", "NEXT"),
        [("tasks", "fresh", "5", "at once"), ("a", "due", "1,203", "")],
    )
    wide = ["SOURCE  STATE  RECORDS  NEXT", "tasks   fresh        5  at once", "a       due      1,203"]
    assert table(headings, rows, numbers={"RECORDS"}).splitlines() == wide
    assert table(headings, rows, numbers={"RECORDS"}, width=31).splitlines() == wide
    assert table(headings, rows, numbers={"RECORDS"}, width=30).splitlines() == [
        "tasks",
        "  STATE    fresh",
        "  RECORDS  5",
        "  NEXT     at once",
        "a",
        "  STATE    due",
        "  RECORDS  1,203",
    ]
