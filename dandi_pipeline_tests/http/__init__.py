"""Promises of the HTTP client, its budget and its checks of JSON."""
