"""Exit codes, and how a failure becomes one line.

0   done; an order was taken, which need not be filled: an IOC or FOK may have met nobody, and its line says so
1   the answer is no: a proof does not verify, ledgers differ, an order was refused
2   wrong usage, flag, file, key or input
3   the chain: unreachable, wrong chain id, missing contract, failed transaction
4   the exchange cannot be reached; the outcome of what was sent may be unknown
5   a keeper halted: a final log is gone, or a transaction can never succeed; an operator must look
70  a failing disk, a damaged journal, or a bug
"""

import os
import re
import sys
import traceback

import click

from offchain.domain.errors import (
    ChainError,
    ConfigurationError,
    HooatsError,
    InvalidInput,
    JournalLocked,
    SequencerUnavailable,
    StorageError,
)
from offchain.domain.text import plain

NO = 1
USAGE = 2
CHAIN = 3
UNAVAILABLE = 4
INTERNAL = 70


class Negative(HooatsError):
    """The command worked, and its answer is no."""


def exit_code(error: BaseException) -> int:
    """The exit code that stands for this failure."""
    match error:
        case Negative():
            return NO
        case InvalidInput() | ConfigurationError() | JournalLocked():
            return USAGE
        case ChainError():
            return CHAIN
        case SequencerUnavailable():
            return UNAVAILABLE
        case StorageError():
            return INTERNAL
        case HooatsError():
            return UNAVAILABLE
        case _:
            return INTERNAL


def usage_line(error: click.UsageError) -> str:
    """What is wrong, and what would be right, in one line."""
    message = " ".join(_message(error).split()).replace(" Did you mean", ". Did you mean")
    message = message if message.endswith("?") else message.rstrip(".") + "."
    if error.ctx is None:
        return f"hooats: {message}"
    usage = " ".join(error.ctx.command.collect_usage_pieces(error.ctx))
    path = error.ctx.command_path
    return f"hooats: {message} Usage: {path} {usage}; `{path} --help` tells more"


def _message(error: click.UsageError) -> str:
    """Of an argument with choices without these: the usage that follows lists them. Of a number below 0, which looks
    like an option, that it is one."""
    if isinstance(error, click.NoSuchOption) and re.match(r"-[0-9.]", error.option_name):
        return "a number here has no minus: amounts, sizes and prices are above 0"
    if isinstance(error, click.NoSuchOption) and _is_of_root(error):
        return f"{error.option_name} goes before the command: hooats {error.option_name} …"
    if isinstance(error, click.BadParameter) and isinstance(error.param, click.Argument):
        value, found, _ = error.message.partition(" is not one of ")
        if found:
            return f"{value} is no {(error.param.name or '').upper()}"
    return error.format_message()


def _is_of_root(error: click.NoSuchOption) -> bool:
    return error.ctx is not None and any(
        error.option_name in flag.opts for flag in error.ctx.find_root().command.params
    )


def report(error: Exception) -> int:
    """Prints the failure in one line and returns its exit code. HOOATS_DEBUG=1 adds the traceback."""
    if os.environ.get("HOOATS_DEBUG") == "1":
        traceback.print_exc()
    if isinstance(error, HooatsError):
        click.echo(f"hooats: {plain(error)}", err=True)
    else:
        frame = traceback.extract_tb(error.__traceback__)[-1] if error.__traceback__ else None
        place = f" at {os.path.basename(frame.filename)}:{frame.lineno}" if frame else ""
        words = f"hooats: internal error ({type(error).__name__}{place}). Run again with HOOATS_DEBUG=1 and report it"
        click.echo(words, err=True)
    sys.stderr.flush()
    return exit_code(error)
