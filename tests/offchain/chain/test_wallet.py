"""A person's endpoint: what is said when nobody answers."""

import pytest

from offchain.chain.wallet import Endpoint
from offchain.domain.errors import ChainUnreachable


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("http://me:5ecre7@127.0.0.1:1/v2/5ecre75ecre7?key=5ecre7", "127.0.0.1:1"),
        ("http://[5ecre7", "malformed"),
        ("5ecre7", "without a host"),
    ],
)
def test_the_host_is_named_and_nothing_else_of_the_url(url: str, named: str) -> None:
    with pytest.raises(ChainUnreachable) as failure:
        Endpoint(url).ask("eth_chainId")
    assert named in str(failure.value) and "5ecre7" not in str(failure.value)
