"""JSON lines on standard error, of structlog and of the standard library's logging alike.

Every line carries `process`, `level`, `timestamp` and `event`; where it applies also `request_id`, `sequence`, `batch`,
`epoch`, `transaction`, `account`. Invariant: no secret that was named leaves the process, however it got into a line
and in whatever case: the line is searched after it is rendered.
"""

import logging
import re
import sys
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import structlog

WITHHELD = "(withheld)"
FORM_LENGTH_MIN = 16
"""Shorter ones (a key that is a small number) would cut into everything else."""

Processor = Callable[[Any, str, MutableMapping[str, Any]], Any]


def configure_logs(process: str, secrets: Sequence[bytes] = (), level: int = logging.INFO) -> None:
    """To be called once, first of all. `secrets` are keys, cut out of every line as hex and in Python's forms."""
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_process(process),
        structlog.processors.format_exc_info,
    ]
    last: list[Processor] = [structlog.processors.JSONRenderer(default=str), without(secrets)]
    structlog.configure(
        processors=[*before, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),  # a line in one write: processes share the file
        cache_logger_on_first_use=False,
    )
    plain = logging.StreamHandler(sys.stderr)
    plain.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*before, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(level=level, handlers=[plain], force=True)
    for chatty in ("httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)  # one line per request, with the URL in it


def _with_process(name: str) -> Processor:
    def add(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        entry.setdefault("process", name)
        return entry

    return add


def without(secrets: Sequence[bytes]) -> Callable[[Any, str, Any], str]:
    """The last step: what was rendered, without the secrets."""
    forms = {form for secret in secrets if secret for form in _forms(secret)}
    pattern = re.compile("|".join(map(re.escape, forms)), re.IGNORECASE) if forms else None

    def cut(_: Any, __: str, line: Any) -> str:
        return str(line) if pattern is None else pattern.sub(_withheld, str(line))

    return cut


def _withheld(found: re.Match[str]) -> str:
    """A number becomes a number, so that the line stays JSON wherever it stood."""
    return "0" if found[0].isdigit() else WITHHELD


def _forms(secret: bytes) -> tuple[str, ...]:
    """How 32 bytes can end up in a line: as hex, as a number, as the repr of bytes (whose backslashes JSON doubles)."""
    as_bytes = repr(secret)[2:-1]
    forms = (secret.hex(), str(int.from_bytes(secret)), as_bytes, as_bytes.replace("\\", "\\\\"))
    return tuple(form for form in forms if len(form) >= FORM_LENGTH_MIN)
