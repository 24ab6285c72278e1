"""Uploads, against a server that speaks as the explorers do."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from offchain.chain.registry import Contract
from offchain.domain.errors import ChainUnreachable, ConfigurationError
from offchain.domain.units import Address
from scripts._explorer import Explorer, find_explorer, upload, write_inputs
from scripts._sources import Compiled
from scripts._verify import Verdict

INPUT = {"language": "Solidity", "sources": {"contracts/A.sol": {"content": "contract A {}"}}, "settings": {}}
COMPILED = Compiled("A", "contracts/A.sol:A", [], b"", b"", [], {"compiler": {"version": "0.8.30+commit.1"}}, INPUT)
ADDRESS = Address("0x" + "a1" * 20)
VERDICT = Verdict("A", Contract(address=ADDRESS, transaction="0xfeed"), COMPILED, b"\x07", True, "code equal")
KEY = "sesame"


class Server:
    """Answers by path; `asked` is what came, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.answers: list[tuple[int, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                server.asked.append((self.command, self.path, body))
                status, content = server.answers.pop(0)
                text = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def explorer(server: Server, kind: str) -> Explorer:
    return Explorer(kind, server.url, KEY, poll=0.01)


def test_sourcify(server: Server) -> None:
    done = {"isJobCompleted": True, "contract": {"match": "exact_match"}}
    server.answers = [(202, {"verificationId": "77"}), (200, {"isJobCompleted": False}), (200, done)]
    assert upload(explorer(server, "sourcify"), 998, VERDICT) == "exact_match"
    method, path, body = server.asked[0]
    assert (method, path) == ("POST", f"/v2/verify/998/{ADDRESS}")
    assert json.loads(body) == {
        "stdJsonInput": INPUT,
        "compilerVersion": "0.8.30+commit.1",
        "contractIdentifier": "contracts/A.sol:A",
        "creationTransactionHash": "0xfeed",
    }
    assert server.asked[2][1] == "/v2/verify/77"
    server.answers = [(409, {"message": "already"})]
    assert upload(explorer(server, "sourcify"), 998, VERDICT) == "verified already"
    server.answers = [
        (202, {"verificationId": "78"}),
        (200, {"isJobCompleted": True, "error": {"message": "no match"}}),
    ]
    with pytest.raises(ConfigurationError, match="refuses A: no match"):
        upload(explorer(server, "sourcify"), 998, VERDICT)


def test_blockscout(server: Server) -> None:
    server.answers = [(200, {"message": "started"}), (200, {}), (200, {"is_verified": True})]
    assert upload(explorer(server, "blockscout"), 998, VERDICT) == "verified"
    method, path, body = server.asked[0]
    assert (method, path) == ("POST", f"/api/v2/smart-contracts/{ADDRESS}/verification/via/standard-input")
    for part in (b"v0.8.30+commit.1", b"contracts/A.sol:A", b'name="constructor_args"\r\n\r\n07', b"contract A {}"):
        assert part in body
    server.answers = [(200, {"message": "Already verified"})]
    assert upload(explorer(server, "blockscout"), 998, VERDICT) == "verified already"


def test_etherscan(server: Server) -> None:
    server.answers = [
        (200, {"status": "1", "result": "guid"}),
        (200, {"status": "0", "result": "Pending in queue"}),
        (200, {"status": "1", "result": "Pass - Verified"}),
    ]
    assert upload(explorer(server, "etherscan"), 998, VERDICT) == "verified"
    query = parse_qs(urlsplit(server.asked[0][1]).query)
    assert query == {"chainid": ["998"], "apikey": [KEY], "module": ["contract"], "action": ["verifysourcecode"]}
    form = parse_qs(server.asked[0][2].decode())
    assert json.loads(form["sourceCode"][0]) == INPUT
    assert form["codeformat"] == ["solidity-standard-json-input"]
    assert form["constructorArguements"] == ["07"]
    server.answers = [(200, {"status": "0", "result": "Invalid API Key"})]
    with pytest.raises(ConfigurationError, match="refuses A: Invalid API Key") as refused:
        upload(explorer(server, "etherscan"), 998, VERDICT)
    assert KEY not in str(refused.value)


def test_an_explorer_that_is_down_or_broken(server: Server) -> None:
    server.answers = [(502, "bad gateway")]
    with pytest.raises(ConfigurationError, match="refuses A: status 502"):
        upload(explorer(server, "sourcify"), 998, VERDICT)
    server.stop()
    with pytest.raises(ChainUnreachable, match="does not answer: ConnectError"):
        upload(explorer(server, "sourcify"), 998, VERDICT)


def test_which_explorer(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(f"{KEY}\n")
    assert find_explorer(998, None, None, key) is None
    assert find_explorer(999, None, None, None) is None
    assert find_explorer(999, None, None, key) == Explorer("etherscan", "https://api.etherscan.io/v2/api", KEY)
    for url, kind in (
        ("https://sourcify.dev/server", "sourcify"),
        ("https://x.blockscout.com/", "blockscout"),
        ("https://y.org/api", "etherscan"),
    ):
        found = find_explorer(998, None, url, None)
        assert found is not None
        assert found.kind == kind
    with pytest.raises(ConfigurationError, match="is no URL"):
        find_explorer(998, None, "blockscout", None)
    with pytest.raises(ConfigurationError, match="cannot read the explorer's key in none"):
        find_explorer(998, None, None, tmp_path / "none")


def test_files_to_upload_by_hand(tmp_path: Path) -> None:
    write_inputs(tmp_path / "out", [VERDICT, VERDICT._replace(name="Clone", compiled=None)])
    assert json.loads((tmp_path / "out" / "A.json").read_text()) == INPUT
    assert json.loads((tmp_path / "out" / "contracts.json").read_text()) == {
        "A": {
            "address": ADDRESS,
            "contract": "contracts/A.sol:A",
            "compiler": "v0.8.30+commit.1",
            "standardJson": "A.json",
            "constructorArguments": "07",
        }
    }
