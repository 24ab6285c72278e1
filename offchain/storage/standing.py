"""Whether a node's folder is the venue's own or follows another's, and in which term.

Invariant: a term has one leader. Whoever takes over begins the next one, which is on disk before he takes anything.
"""

from pathlib import Path

import msgspec

from offchain.domain.errors import ConfigurationError
from offchain.storage.disk import Disk

NAME = "standing.json"


class Standing(msgspec.Struct, frozen=True):
    term: int = 1
    is_follower: bool = False


_decode = msgspec.json.Decoder(Standing).decode


def read_standing(data: Path) -> Standing:
    """A folder that says nothing leads, in the first term."""
    try:
        return _decode((data / NAME).read_bytes())
    except FileNotFoundError:
        return Standing()
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f"{data / NAME} is damaged: {error}", remedy="Restore it from a backup") from None


def write_standing(data: Path, standing: Standing) -> None:
    """On disk when it returns."""
    Disk().create(data / NAME, msgspec.json.encode(standing))


def lead(data: Path, promote: bool) -> Standing:
    """For a node that is to take orders. ConfigurationError if the folder follows, and nobody said `promote`."""
    standing = read_standing(data)
    if not standing.is_follower:
        return standing
    if not promote:
        raise ConfigurationError(
            f"{data} follows another node", remedy="Make sure that the other one is stopped, and start with --promote"
        )
    standing = Standing(standing.term + 1)
    write_standing(data, standing)
    return standing


def follow(data: Path) -> Standing:
    """For a node that is to follow."""
    standing = Standing(read_standing(data).term, is_follower=True)
    write_standing(data, standing)
    return standing
