"""What stands at a sequence, by the chain: `python examples/prove_position.py SEQUENCE EPOCHS_FOLDER API RPC REGISTRY`.

The operator publishes each epoch's header (`GET /v1/epochs/{n}`) and its records. Whoever holds a receipt for another
order at this sequence has convicted him: nothing here trusts him, as the contract knows the header's hash.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx

from offchain.chain.abi import Function
from offchain.chain.contracts import HEADER
from offchain.chain.registry import load_registry
from offchain.chain.wallet import Endpoint
from offchain.cli.proofs import header_tuple
from offchain.domain.command import RECORD_HEAD, PlaceOrder, decode
from offchain.engine.merkle import indexed_leaf, indexed_proof

VERIFY = Function(f"verifyCommand({HEADER},uint64,bytes32,bytes32[])", "bool")


def records_of(content: bytes) -> Iterator[bytes]:
    """An epoch file holds its records one after the other, each with its length."""
    while content:
        length = RECORD_HEAD.size + RECORD_HEAD.unpack_from(content)[0]
        yield content[:length]
        content = content[length:]


def main(sequence: int, folder: str, api: str, rpc: str, registry_file: str) -> int:
    files = sorted(Path(folder).glob("*.records"))
    if not files:
        raise SystemExit(f"{folder} holds no epochs: name the folder of <n>.records; nothing is said of {sequence}")
    path = Path(registry_file)
    contract = load_registry(path, json.loads(path.read_text())["chainId"]).address("OrderbookCommitment")
    for file in files:
        header = httpx.get(f"{api}/v1/epochs/{int(file.stem)}").json()["header"]
        if not int(header["first"]) <= sequence <= int(header["last"]):
            continue
        records = list(records_of(file.read_bytes()))
        position = sequence - int(header["first"])
        leaves = [indexed_leaf(record) for record in records]
        proof = indexed_proof(leaves, position)
        (held,) = Endpoint(rpc).call(contract, VERIFY, header_tuple(header), sequence, leaves[position], proof)
        _, kind, version, _, at = RECORD_HEAD.unpack_from(records[position])
        command = decode(kind, version, records[position][RECORD_HEAD.size :])
        what = f"order of {command.order.account}" if isinstance(command, PlaceOrder) else type(command).__name__
        print(f"at sequence {sequence}, {at} ms: {what}; the contract {'confirms' if held else 'DENIES'} it")
        return 0 if held else 1
    print(f"no epoch covers {sequence} yet")
    return 1


if __name__ == "__main__":
    if len(sys.argv) != 6:
        raise SystemExit(__doc__)
    raise SystemExit(main(int(sys.argv[1]), *sys.argv[2:]))
