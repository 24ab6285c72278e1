"""Anybody's words, made fit to be shown.

Symbols come from the chain and messages from servers: nothing in them may steer a terminal.
"""


def plain(text: object) -> str:
    """One line of printable characters; others are shown as escapes."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(text))
