"""Asking the mirror: the door, the past, frames, exports, search, and what serves them."""
