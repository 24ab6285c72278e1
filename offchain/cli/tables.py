"""Answers for people: two columns, and nothing in them that steers a terminal."""

from collections.abc import Mapping

import click

from offchain.domain.text import plain


def echo_table(rows: Mapping[str, object]) -> None:
    width = max(map(len, map(plain, rows)), default=0) + 1
    for name, value in rows.items():
        click.echo(f"{plain(name) + ':':{width}}  {'-' if value is None else plain(value)}")
