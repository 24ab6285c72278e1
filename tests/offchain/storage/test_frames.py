"""Groups that have the hash they claim and are none all the same: nobody's code wrote them, somebody made them."""

import hashlib
import struct
import zlib
from pathlib import Path

import pytest
from journal_samples import CHAIN, LazyDisk, record, write

from offchain.domain.errors import JournalCorrupt
from offchain.storage import frames
from offchain.storage.journal import Journal
from offchain.storage.reader import JournalReader
from offchain.storage.scan import segment_path


def segment(folder: Path, count: int, body: bytes) -> Path:
    """A journal of one group, whose head is right for these bytes."""
    folder.mkdir()
    hashed = struct.pack(">4sB3xQII32s", frames.GROUP_MAGIC, frames.FORMAT_VERSION, 1, count, len(body), frames.NO_HASH)
    checked = hashed + hashlib.sha256(hashed + body).digest()
    group = checked + zlib.crc32(checked).to_bytes(4) + body
    segment_path(folder, 1).write_bytes(frames.encode_segment_header(CHAIN, 1, frames.NO_HASH) + group)
    return folder


BODY = frames.Body.of([record(1)]).seal(frames.NO_HASH)[0][frames.GROUP_HEAD_BYTES :]


@pytest.mark.parametrize(
    ("count", "body"),
    [
        pytest.param(2, BODY, id="fewer records than it says"),
        pytest.param(1, BODY + b"\0", id="more than its records"),
        pytest.param(1, BODY[:-1], id="a record that ends behind it"),
        pytest.param(1, BODY[:7] + b"\7" + BODY[8:], id="another sequence"),
        pytest.param(2**32 - 1, b"", id="records without bytes"),
    ],
)
def test_a_made_up_group_is_corruption_and_not_a_crash(tmp_path: Path, count: int, body: bytes) -> None:
    folder = segment(tmp_path / "journal", count, body)
    with pytest.raises(JournalCorrupt, match="hash it claims"):
        list(JournalReader(folder).read())
    with pytest.raises(JournalCorrupt, match="hash it claims"):
        Journal.open(folder, chain_id=CHAIN, disk=LazyDisk())


def test_a_group_of_nothing_is_no_group(tmp_path: Path) -> None:
    folder = segment(tmp_path / "journal", 0, b"")
    assert list(JournalReader(folder).read()) == []
    with Journal.open(folder, chain_id=CHAIN, disk=LazyDisk()) as journal:
        assert journal.last_sequence == 0


@pytest.mark.parametrize(("old", "new"), [(b"fields", b"fie\xb0ds"), (b'"00', b'"zz')])
def test_a_header_that_is_no_text_or_no_hash_is_damage(tmp_path: Path, old: bytes, new: bytes) -> None:
    """Its checksum is right: whoever wrote the bytes could compute that, too."""
    folder = tmp_path / "journal"
    write(folder, 1, 1)
    path = segment_path(folder, 1)
    content = path.read_bytes()
    _, end = frames.decode_segment_header(content)
    header = content[: end - 4].replace(old, new, 1)
    path.write_bytes(header + zlib.crc32(header).to_bytes(4) + content[end:])
    with pytest.raises(JournalCorrupt):
        list(JournalReader(folder).read())
    with pytest.raises(JournalCorrupt):
        Journal.open(folder, chain_id=CHAIN, disk=LazyDisk())
