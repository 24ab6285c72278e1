"""Keys from files: two forms, clear failures, nothing printed."""

import json
import pickle
import stat
from pathlib import Path

import pytest
from eth_account import Account

from offchain.domain.errors import ConfigurationError
from offchain.security.keys import Key, load_key, load_secret
from offchain.security.signatures import address_of

SECRET = bytes(range(1, 33))


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", ["0x" + SECRET.hex(), SECRET.hex().upper() + "\n", "  0x" + SECRET.hex() + " \n"])
def test_hex_key(tmp_path: Path, text: str) -> None:
    key = load_key(write(tmp_path / "a.key", text))
    assert (key.secret, key.address) == (SECRET, address_of(SECRET))


def keystore(tmp_path: Path) -> Path:
    encrypted = Account.encrypt(SECRET, "correct horse", kdf="pbkdf2", iterations=2)
    return write(tmp_path / "a.json", json.dumps(encrypted))


def test_keystore(tmp_path: Path) -> None:
    password = write(tmp_path / "password", "correct horse\n")
    assert load_key(keystore(tmp_path), password).secret == SECRET


def test_wrong_password_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"wrong password for keystore a\.json"):
        load_key(keystore(tmp_path), write(tmp_path / "password", "wrong"))


def test_keystore_without_password_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--password-file"):
        load_key(keystore(tmp_path))


@pytest.mark.parametrize(
    "text", ["", "0x", "0x" + "00" * 31, "0x" + "zz" * 32, "0x" + "00" * 32, "0x" + "ff" * 32, "\x00" * 70_000, "{}"]
)
def test_malformed_key_file(tmp_path: Path, text: str) -> None:
    password = write(tmp_path / "password", "x")
    with pytest.raises(ConfigurationError):
        load_key(write(tmp_path / "a.key", text), password)


@pytest.mark.parametrize("text", ["{", "[1]", '{"version": 3}', '{"version": 1, "crypto": {}}'])
def test_malformed_keystore(tmp_path: Path, text: str) -> None:
    password = write(tmp_path / "password", "x")
    with pytest.raises(ConfigurationError):
        load_key(write(tmp_path / "a.json", "{" + text[1:] if text[0] == "{" else text), password)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read key file nowhere\.key"):
        load_key(tmp_path / "nowhere.key")


def test_a_key_is_never_printed(tmp_path: Path) -> None:
    key = Key(SECRET)
    assert SECRET.hex() not in f"{key!r} {key!s} {key}"
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(ConfigurationError) as caught:
        load_key(write(tmp_path / "bad.key", SECRET.hex() + "00"))
    assert SECRET.hex() not in str(caught.value)


def test_secret_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "session.key"
    first = load_secret(path)
    assert load_secret(path) == first
    assert len(first) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["session.key"]


def test_damaged_secret_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        load_secret(write(tmp_path / "session.key", "short"))
