"""Convert text from outside into text that every database can store."""


def storable_text(text: str) -> str:
    """Return a text with NUL and lone surrogates replaced; no database stores them."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
