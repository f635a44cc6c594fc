"""The page that keeps what was measured, one section a benchmark, so that each can be measured again alone."""

import re
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "performance.md"


def replace_section(page: str, name: str, section: str, order: Sequence[str]) -> str:
    """Return the page with the section of the benchmark `name` replaced, or put in its place in `order`.

    What is outside of the sections is kept as it is.
    """
    marked = f"<!-- benchmark: {name} -->\n{section.strip()}\n<!-- end: {name} -->\n"
    before = _section(name).search(page)
    if before:
        return page[: before.start()] + marked + page[before.end() :]
    following = (_section(later).search(page) for later in order[order.index(name) + 1 :])
    place = next((found.start() for found in following if found), len(page))
    return f"{page[:place].rstrip()}\n\n{marked}\n{page[place:]}".rstrip() + "\n"


def _section(name: str) -> "re.Pattern[str]":
    return re.compile(rf"<!-- benchmark: {name} -->\n.*?<!-- end: {name} -->\n", re.DOTALL)
