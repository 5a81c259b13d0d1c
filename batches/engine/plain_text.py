"""Text from outside, made into text that every database takes."""


def storable_text(text: str) -> str:
    """Return a text with NUL and lone surrogates replaced; no database stores them."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
