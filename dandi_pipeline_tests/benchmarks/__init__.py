"""What a sync costs, measured side by side with doing the same by hand; never part of the test run."""
