"""Read replies of providers: bodies, errors, usage, the dialects of servers."""
