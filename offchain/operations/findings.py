"""One line of an examination: what was looked at, how it is, and what to do about it."""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from offchain.domain.errors import HooatsError


class Verdict(StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    """`remedy` is "" if there is nothing to do."""

    check: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def ok(check: str, detail: str) -> Finding:
    return Finding(check, Verdict.OK, detail)


def warn(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, Verdict.WARN, detail, remedy)


def fail(check: str, detail: str, remedy: str) -> Finding:
    return Finding(check, Verdict.FAIL, detail, remedy)


def guarded(check: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What `look` finds; a failing world is a finding, too."""
    try:
        yield from look()
    except HooatsError as error:
        yield fail(check, error.message, error.remedy or "Mend it, then run hooats doctor again")
    except OSError as error:
        yield fail(
            check, f"{error.filename or ''}: {error.strerror or error}".lstrip(": "), "Check path and permissions"
        )
