"""Notion: data sources, and the pages that are their rows."""
