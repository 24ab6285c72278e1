"""URLs of a person: what is none, and what of one is shown."""

import click
import pytest

from offchain.cli.urls import Url, redacted

LIKE = "http://127.0.0.1:8545"


@pytest.mark.parametrize(
    "text", [LIKE, "https://h/v2/key?k=v", "http://u:p@h", "http://[::1]:8545/", "http://a, https://b"]
)
def test_urls(text: str) -> None:
    assert Url(LIKE, is_list=True).convert(text, None, None) == text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "''"),
        ("foo", "'foo'"),
        ("h:8545", "'h:8545'"),
        ("ftp://h", "'ftp://h'"),
        ("http://", "'http://'"),
        ("http://h:port", "'http://h:port'"),
        ("http://a b", "'http://a b'"),
        ("http://a,", "''"),
        ("http://a,ws://b", "'ws://b'"),
        ("htp://me:pw@h.io/v2/0123456789abcdef?k=5ecre7", "'htp://h.io'"),
        ("me:pw@h.io/0123456789abcdef", "'h.io'"),
    ],
)
def test_what_is_no_url(text: str, told: str) -> None:
    """Nothing of it is repeated that may be secret."""
    with pytest.raises(click.BadParameter) as failure:
        Url(LIKE, is_list=True).convert(text, None, None)
    assert failure.value.message == f"{told} is no URL. Like {LIKE}"


def test_one_url_has_no_comma() -> None:
    with pytest.raises(click.BadParameter):
        Url(LIKE).convert("http://a:1,http://b:2", None, None)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("sqlite:////var/lib/hooats/a_rather_long_name.sqlite", "sqlite:////var/lib/hooats/a_rather_long_name.sqlite"),
        ("postgresql://me:pw@db/ops", "postgresql://(withheld)@db/ops"),
        ("https://h/v2/" + "a" * 32, "https://h/v2/(withheld)"),
        ("hyperliquid:http://u:pw@h.io/", "hyperliquid:http://(withheld)@h.io/"),
        ("hyperliquid:https://h/" + "a" * 32 + "?k=v", "hyperliquid:https://h/(withheld)?(withheld)"),
        ("http://user:p,w@h/x", "http://(withheld)@h/x"),
        ("http://user:p/w?@h/x", "http://(withheld)@h/x"),
        ("http://u:p@q@h/x", "http://(withheld)@h/x"),
        ("http://a/x,http://u:p@b,http://c", "http://a/x,http://(withheld)@b,http://c"),
        ("sqlite+pysqlcipher://:pass@/x?key=k", "sqlite+pysqlcipher://(withheld)@/x?(withheld)"),
    ],
)
def test_redacted(url: str, expected: str) -> None:
    assert redacted(url) == expected
