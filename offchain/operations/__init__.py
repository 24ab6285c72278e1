"""What an operator does beside running daemons: examine an installation, back it up, restore it."""
