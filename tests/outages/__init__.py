"""Providers that go away and come back, for tests and benchmarks: real sockets, real names."""
