"""Process a batch of prompts: prepare, execute, post-process. No Django, no I/O."""
