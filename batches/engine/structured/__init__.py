"""Structured output: request it, find it in answers, repair it, ask the model again."""
