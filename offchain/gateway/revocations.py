"""Sessions that their account has ended before their time, in a file that the gateways of one secret share.

Invariant: what was answered as revoked is on disk, and every gateway that shares the file refuses it within
POLL_SECONDS, also after a restart. Bounded: a line is forgotten once the session would have expired anyway, and of an
account that ends too many one by one all sessions are ended; where it was an agent, all of that agent.

    one     {"session": hex of sha256(apiKey), "until": unix seconds}
    all     {"account": address, "until": unix seconds, "before": those issued before this unix second}
    each of an agent's has "agent": address, too
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from offchain.domain.errors import ConfigurationError
from offchain.domain.limits import SESSION_LIFETIME_SECONDS
from offchain.domain.units import Address
from offchain.gateway.bounds import REVOKED_MAX, REVOKED_PER_ACCOUNT_MAX

POLL_SECONDS = 0.5
Whose = tuple[Address, Address]
"""(account, agent); the agent is empty for the account itself."""
_OWNER = Address("")


class _Line(msgspec.Struct, frozen=True, omit_defaults=True):
    until: int
    account: Address
    session: str = ""
    before: int = 0
    agent: Address = _OWNER

    @property
    def whose(self) -> "Whose":
        return self.account, self.agent


_decode = msgspec.json.Decoder(_Line).decode
_encode = msgspec.json.Encoder().encode


class Revocations:
    """`now` in unix seconds. ConfigurationError if the file cannot be read or made."""

    def __init__(self, path: Path, now: int) -> None:
        self._path = path
        self._sessions: dict[str, int] = {}
        """name -> until"""
        self._counts: dict[Whose, int] = {}
        self._ended: dict[Whose, tuple[int, int]] = {}
        """whose -> (before, until)"""
        self._inode = self._offset = 0
        try:
            with self._locked():
                self._rewrite(now)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigurationError(f"cannot keep {path.name}: {reason}", remedy="Check the folder") from None
        except msgspec.MsgspecError:
            raise ConfigurationError(f"{path.name} is damaged", remedy="Delete it, and the session secret") from None

    def is_revoked(self, session: str, account: Address, issued_at: int, agent: Address | None = None) -> bool:
        """`agent`: who had logged in, if not the account itself."""
        before, _ = self._ended.get((account, _OWNER), (0, 0))
        if agent is not None:
            before = max(before, self._ended.get((account, agent), (0, 0))[0])
        return issued_at < before or session in self._sessions

    def end(self, session: str, account: Address, expires_at: int, now: int, agent: Address | None = None) -> None:
        """One session; all of the same account or agent if too many of them were, or are remembered altogether."""
        if session in self._sessions:
            return
        whose = account, agent or _OWNER
        if self._counts.get(whose, 0) >= REVOKED_PER_ACCOUNT_MAX or len(self._sessions) >= REVOKED_MAX:
            self._end_all(whose, now)
        else:
            self._append(_Line(until=expires_at, account=account, session=session, agent=agent or _OWNER))

    def end_all(self, account: Address, now: int) -> None:
        """Every session of the account and its agents that was issued up to now. One issued within this very second
        ends with them."""
        self._end_all((account, _OWNER), now)

    def _end_all(self, whose: Whose, now: int) -> None:
        account, agent = whose
        self._append(_Line(until=now + 1 + SESSION_LIFETIME_SECONDS, account=account, before=now + 1, agent=agent))

    def refresh(self) -> bool:
        """Takes over what other gateways wrote. True if there was anything."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        if (found.st_ino, found.st_size) == (self._inode, self._offset):
            return False
        with self._locked():
            self._read()
        return True

    def _read(self) -> None:
        with self._path.open("rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            file.seek(self._offset if inode == self._inode else 0)
            for line in file:
                self._take(_decode(line))
            self._inode, self._offset = inode, file.tell()

    def _take(self, line: _Line) -> None:
        if not line.session:
            before, until = self._ended.get(line.whose, (0, 0))
            self._ended[line.whose] = max(before, line.before), max(until, line.until)
        elif line.session not in self._sessions:
            self._sessions[line.session] = line.until
            self._counts[line.whose] = self._counts.get(line.whose, 0) + 1

    def _append(self, line: _Line) -> None:
        with self._locked():
            with self._path.open("ab") as file:
                file.write(_encode(line) + b"\n")
                file.flush()
                os.fsync(file.fileno())
            self._read()

    def _rewrite(self, now: int) -> None:
        """Without what is over. A torn last line was never answered."""
        old = self._path.read_bytes() if self._path.exists() else b""
        lines = [line for line in old.splitlines(keepends=True) if line.endswith(b"\n")]
        kept = [line for line in lines if _decode(line).until > now]
        staging = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(kept)
            file.flush()
            os.fsync(file.fileno())
        staging.replace(self._path)
        self._read()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Among the gateways that share the file; held for one line or one pass."""
        with self._path.with_name(f".{self._path.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
