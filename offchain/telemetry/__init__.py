"""What a daemon says of itself: log lines, probes, metrics, and words to its supervisor. It decides nothing."""
