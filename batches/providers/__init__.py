"""Call providers: the client, its configuration, the choice of a provider, the circuit breaker."""
