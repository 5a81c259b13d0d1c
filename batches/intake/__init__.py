"""Store the prompts of a batch, in this process or in the background."""
