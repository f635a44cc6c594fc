"""The page of measurements: what is measured again alone leaves the rest of it as it was."""

import pytest

from dandi_pipeline_tests.benchmarks.page import replace_section
from dandi_pipeline_tests.benchmarks.tables import Scale, Table

ORDER = ("first", "second", "third")
INTRODUCTION = "# Performance\n\nHow it is measured.\n"


def table_of(*rows: tuple[str, ...]) -> Table:
    return Table("Load", Scale.QUICK.command("load"), ("way", "seconds"), rows, notes=("By hand is 1.",))


def test_a_table_is_markdown_with_columns_in_line() -> None:
    assert table_of(("by hand", "1.0"), ("a|b", "12.5")).to_markdown() == (
        "## Load\n"
        "\n"
        "| way     | seconds |\n"
        "|---------|--------:|\n"
        "| by hand |     1.0 |\n"
        "| a\\|b    |    12.5 |\n"
        "\n"
        "By hand is 1."
    )


def test_a_row_must_fill_its_columns() -> None:
    with pytest.raises(ValueError, match="a row of 1 cells below 2 columns"):
        table_of(("by hand",))


def test_a_command_says_the_scale() -> None:
    assert Scale.QUICK.command("load") == "make bench ARGS='load'"
    assert Scale.FULL.command("load") == "make bench ARGS='load --full'"


def test_sections_are_put_in_order_whenever_they_were_measured() -> None:
    page = INTRODUCTION
    for name in ("third", "first", "second"):
        page = replace_section(page, name, f"## {name}", ORDER)
    assert [line for line in page.splitlines() if line.startswith("#")] == [
        "# Performance",
        "## first",
        "## second",
        "## third",
    ]
    assert page.startswith(INTRODUCTION)


def test_measuring_again_replaces_one_section_and_nothing_else() -> None:
    page = INTRODUCTION
    for name in ORDER:
        page = replace_section(page, name, f"## {name}\n\nold", ORDER)
    again = replace_section(page, "second", "## second\n\nnew \\1", ORDER)
    assert again == page.replace("## second\n\nold", "## second\n\nnew \\1")
    assert replace_section(again, "second", "## second\n\nold", ORDER) == page
