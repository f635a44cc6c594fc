"""What the documents say is what the project does: their commands, queries, tables and links are tried."""
