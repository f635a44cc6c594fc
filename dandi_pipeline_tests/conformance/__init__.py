"""Promises that every platform keeps, written once; a platform joins by one line in `registry`."""
