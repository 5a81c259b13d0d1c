"""HTTP beneath the endpoints: bodies, tokens, errors, pages of lists."""
