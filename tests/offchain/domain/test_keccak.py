"""keccak256 is the one of Ethereum, not SHA-3."""

from offchain.domain.keccak import keccak


def test_known_digests() -> None:
    assert keccak(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak(b"Transfer(address,address,uint256)").hex().startswith("ddf252ad1be2c89b69c2b068fc378daa")
