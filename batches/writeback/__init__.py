"""Write answers into the rows of the host's tables that their prompts were made of."""
