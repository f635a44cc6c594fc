"""The revisions, one module each; a released one is never edited."""
