"""Airtable: the tables of configured bases, and the records of each."""
