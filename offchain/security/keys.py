"""Private keys and shared secrets from files: 0x-hex, or a keystore v3 with a password file.

Invariant: a secret is in no message, repr or log; what went wrong is said by file name only. Every failure is a
`ConfigurationError`. Deliberately no key from the command line or the environment: both are visible to others.
"""

import json
import os
import re
from pathlib import Path

from offchain.domain.errors import ConfigurationError
from offchain.domain.units import Address
from offchain.security.signatures import address_of

_HEX_KEY = re.compile(r"(?:0x)?([0-9a-fA-F]{64})")
FILE_BYTES_MAX = 64 * 1024
SECRET_BYTES = 32


class Key:
    """A private key and its address. `secret` is the only way to the 32 bytes."""

    __slots__ = ("address", "secret")

    def __init__(self, secret: bytes) -> None:
        try:
            self.address: Address = address_of(secret)
        except ValueError:
            raise ConfigurationError("not a private key of secp256k1", remedy="32 bytes above 0") from None
        self.secret = secret

    def __repr__(self) -> str:
        return f"Key({self.address})"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a key is never pickled")


def load_key(path: Path | str, password_file: Path | str | None = None) -> Key:
    """The private key in `path`; `password_file` only for a keystore, whose first line is the password."""
    text = _read(Path(path), "key file")
    name = Path(path).name
    if text.startswith("{"):
        return _from_keystore(text, name, password_file)
    match = _HEX_KEY.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"key file {name} holds no private key", remedy="64 hex digits, or a keystore v3 JSON")
    return Key(bytes.fromhex(match.group(1)))


def load_secret(path: Path | str) -> bytes:
    """A shared secret of 32 bytes as hex, made on first use in a file that only its owner may read.

    Several gateways that share the file accept each other's sessions; deleting it ends every session.
    """
    path = Path(path)
    if not path.exists():
        _create_secret(path)
    match = _HEX_KEY.fullmatch(_read(path, "secret file"))
    if match is None:
        raise ConfigurationError(f"secret file {path.name} is malformed", remedy="64 hex digits; delete it to renew it")
    return bytes.fromhex(match.group(1))


def _create_secret(path: Path) -> None:
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("0x" + os.urandom(SECRET_BYTES).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(staging, path)  # atomic, and the first of two gateways wins
        except FileExistsError:
            pass
        finally:
            staging.unlink()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"cannot create secret file {path.name}: {reason}") from None


def _from_keystore(text: str, name: str, password_file: Path | str | None) -> Key:
    if password_file is None:
        raise ConfigurationError(f"{name} is a keystore", remedy="Name its password file with --password-file")
    password = _read(Path(password_file), "password file").splitlines()
    try:
        keystore = json.loads(text)
    except ValueError:
        raise ConfigurationError(f"keystore {name} is not JSON", remedy="Export it again") from None
    from eth_account import Account  # half a second of imports that a hex key does not need

    try:
        secret = bytes(Account.decrypt(keystore, password[0] if password else ""))
    except ValueError as error:
        if "MAC" in str(error):
            raise ConfigurationError(f"wrong password for keystore {name}", remedy="Check --password-file") from None
        raise ConfigurationError(f"keystore {name} is malformed", remedy="It must be version 3") from None
    except (KeyError, TypeError, AttributeError, NotImplementedError):
        raise ConfigurationError(f"keystore {name} is malformed", remedy="It must be version 3") from None
    return Key(secret)


def _read(path: Path, what: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigurationError(f"cannot read {what} {path.name}: {reason}", remedy="Check the path") from None
    try:
        if len(raw) > FILE_BYTES_MAX:
            raise ValueError
        return raw.decode("ascii" if what == "secret file" else "utf-8").strip()
    except ValueError:
        raise ConfigurationError(f"{what} {path.name} is not a short text file") from None
