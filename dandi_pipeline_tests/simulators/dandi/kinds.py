"""The kinds of requests that are told apart when they are counted, and when faults hit them."""

KINDS = (
    "info",
    "dandisets",
    "dandiset",
    "versions",
    "version",
    "version_info",
    "assets_full",
    "assets_bare",
    "asset",
    "asset_info",
    "manifest",
    "unknown",
)
