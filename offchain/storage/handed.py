"""Settings that a node hands to its processes, as JSON: paths are text there."""

from pathlib import Path
from typing import TypeVar

import msgspec

Settings = TypeVar("Settings")


def encode_settings(settings: object) -> bytes:
    return msgspec.json.encode(settings, enc_hook=_encode_path)


def decode_settings(raw: bytes, kind: type[Settings]) -> Settings:
    """msgspec.MsgspecError if they are not of this kind."""
    return msgspec.json.decode(raw, type=kind, dec_hook=_decode_path)


def _encode_path(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))  # msgspec's protocol for a type that the hook does not know


def _decode_path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise NotImplementedError(kind)  # msgspec's protocol for a type that the hook does not know
