"""Structured output: ask for it, find it in answers, repair it, ask again."""
