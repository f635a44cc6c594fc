"""The versions of the API that are spoken, and what each does differently.

2022-06-28 knows databases only and queries those; 2025-09-03 brought data sources; 2026-03-11 dropped `archived`.
"""

LEGACY = "2022-06-28"
DATA_SOURCES = "2025-09-03"
LATEST = "2026-03-11"
SPOKEN = (LEGACY, DATA_SOURCES, LATEST)


def says_archived(version: str) -> bool:
    """Whether objects carry `archived`, the deprecated twin of `in_trash`."""
    return version < LATEST
