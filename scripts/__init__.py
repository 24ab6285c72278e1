"""Scripts for `ape run`. Importing one does nothing."""
