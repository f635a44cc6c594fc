"""Questions to the mirror."""
