"""Admin pages of providers."""
