"""Writes docs/cli.md from the command line's own help: `python toolchain/cli_reference.py > docs/cli.md`."""

import sys
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from offchain.cli import failures
from offchain.cli.program import hooats

INTRODUCTION = """# The command line

`hooats` is `.venv/bin/hooats` of the checkout. Every flag can be given as an environment variable, named in its help;
a flag wins over the variable. `--json` prints for programs. A failure is one line on standard error; `HOOATS_DEBUG=1`
adds the traceback.

This page is made from the help of the commands (`make docs`); a test keeps the two in step.

## Exit codes

"""


def reference() -> str:
    """The whole page."""
    codes = (failures.__doc__ or "").split("\n\n")[1]
    parts = [INTRODUCTION, "```\n", "\n".join(line.strip() for line in codes.splitlines()), "\n```\n"]
    parts.extend(_sections(hooats, "hooats"))
    return "".join(parts).rstrip() + "\n"


def _sections(command: click.Command, path: str) -> list[str]:
    names = ["-h", "--help"]
    context = click.Context(command, info_name=path, terminal_width=100, max_content_width=100, help_option_names=names)
    parts = [f"\n## {path}\n\n```\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            parts.extend(_sections(command.commands[name], f"{path} {name}"))
    return parts


if __name__ == "__main__":
    sys.stdout.write(reference())
