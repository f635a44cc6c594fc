"""`make demo`: what the project does, shown with real commands against simulated platforms, with no network."""
