"""Keep secrets: encryption with rotation, API tokens, the removal of keys from replies."""
