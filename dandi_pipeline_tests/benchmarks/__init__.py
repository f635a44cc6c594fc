"""What a sync costs, measured side by side with other ways of doing the same; `make bench`, never a test."""
