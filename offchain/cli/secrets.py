"""Keys for commands: read from their files, with a word if others can read them, too."""

from pathlib import Path

import click

from offchain.operations.machine import OTHERS
from offchain.security.keys import Key, load_key


def open_key(file: Path, password_file: Path | None) -> Key:
    """The private key in `file`; warns on standard error if it, or its password, is not its owner's alone."""
    key = load_key(file, password_file)
    for path in exposed(file, password_file):
        click.echo(f"hooats: warning: others can read {path}. chmod go= {path}", err=True)
    return key


def exposed(*files: Path | None) -> list[Path]:
    """Those that are not their owner's alone."""
    return [file for file in files if file is not None and file.stat().st_mode & OTHERS]
