"""How a batch of prompts is processed: prepare, execute, post-process. No Django, no I/O."""
