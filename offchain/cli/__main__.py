"""`python -m offchain.cli` is `hooats`."""

from offchain.cli.program import main

main()
