"""The single reader of the journal that writes history, epochs with their roots, proofs and the keepers' outbox."""
