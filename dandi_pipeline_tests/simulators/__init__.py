"""Small, mutable platforms on real sockets, for tests, benchmarks and `make demo`."""
