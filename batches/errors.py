"""What a user is told when an action cannot be done."""


class NotPossible(Exception):
    """What was asked for cannot be done; the message says why and what to do."""
