"""Reuse of answers: equal requests are sent once."""
