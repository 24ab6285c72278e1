"""What survives a restart: the journal (the truth), and two databases (ops for keepers, history rebuilt from it)."""
