"""Reach other machines: addresses that may be called, proxies, guarded connections."""
