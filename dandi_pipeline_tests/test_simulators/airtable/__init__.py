"""The simulated Airtable keeps what the real one is known to do."""
