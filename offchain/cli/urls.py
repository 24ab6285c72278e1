"""URLs of a person: refused where they are read, and shown without what may be a password or a provider's key."""

import re
from typing import Any
from urllib.parse import urlsplit

import click

WITHHELD = "(withheld)"
PATH_PART_SHOWN_MAX = 16
"""A longer part of a URL's path may be a provider's key."""
_USERINFO = re.compile(r"://(?:(?!,\s*[A-Za-z][A-Za-z0-9+.:-]*://).)*@", re.DOTALL)
"""Up to the last @ before the next URL."""
_KIND = re.compile(r"((?:[A-Za-z]+:(?=[A-Za-z][A-Za-z0-9+.-]*://))?)(.*)", re.DOTALL)
"""A source's kind before its URL, and the rest."""


class Url(click.ParamType):
    """`http://…` or `https://…` with a host; with `is_list`, one or several with commas between them.

    The text stays as it is. What is no URL is shown only as far as it cannot be a secret.
    """

    name = "url"

    def __init__(self, like: str, *, is_list: bool = False) -> None:
        self._like, self._is_list = like, is_list

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        for text in value.split(",") if self._is_list else [value]:
            if not is_url(text.strip()):
                self.fail(f"{_harmless(text)!r} is no URL. Like {self._like}", param, ctx)
        return str(value)


def is_url(text: str) -> bool:
    """Whether an HTTP client could ask it."""
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return has_host and parts.scheme in ("http", "https") and text.isprintable() and " " not in text


def redacted(urls: str) -> str:
    """URLs, comma separated, without user, password, query, and parts of the path long enough to be a key.

    Also behind a kind, like hyperliquid:https://… Rather too much is withheld than a password shown: whatever is before
    an @ goes, as a password may hold commas and slashes.
    """
    return ",".join(map(_redacted_one, _USERINFO.sub(f"://{WITHHELD}@", urls).split(",")))


def _redacted_one(url: str) -> str:
    kind, url = _KIND.match(url.strip()).groups()  # type: ignore[union-attr]  # it matches everything
    scheme, separator, rest = url.partition("://")
    rest, question, _ = rest.partition("#")[0].partition("?")
    if not scheme.startswith("sqlite"):
        host, *path = rest.split("/")
        rest = "/".join([host, *(WITHHELD if len(part) >= PATH_PART_SHOWN_MAX else part for part in path)])
    return kind + scheme + separator + rest + (f"?{WITHHELD}" if question else "")


def _harmless(text: str) -> str:
    """Of what is no URL: no user, no password, no path, and no more than tells which one it is."""
    scheme, separator, rest = text.rpartition("://")
    host = re.split(r"[/?#]", rest.rpartition("@")[2])[0]
    return f"{scheme[-20:]}{separator}{host[:60]}"
