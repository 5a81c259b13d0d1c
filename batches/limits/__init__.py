"""Decide when a call may go out: rate limits, the adaptive window, the budget."""
