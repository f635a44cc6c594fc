"""The DANDI Archive: dandisets, their versions, and the assets of each version."""
