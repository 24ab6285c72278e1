"""What the exchange's parts cost, next to what others cost and to what the machine can do. See docs/benchmarks.md."""
