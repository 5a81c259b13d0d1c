"""The error for actions that are not possible."""


class NotPossible(Exception):
    """The requested action is not possible; the message says why and what to do."""
