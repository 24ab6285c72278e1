"""Answers for people: two columns, and nothing in them that steers a terminal.

Symbols come from the chain and messages from servers: anybody's words.
"""

from collections.abc import Mapping

import click


def plain(text: object) -> str:
    """One line of printable characters; others are shown as escapes."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in str(text))


def echo_table(rows: Mapping[str, object]) -> None:
    width = max(map(len, map(plain, rows)), default=0) + 1
    for name, value in rows.items():
        click.echo(f"{plain(name) + ':':{width}}  {'-' if value is None else plain(value)}")
