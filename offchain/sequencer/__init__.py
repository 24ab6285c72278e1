"""The single writer: commands in, durable results out. `link` is what gateways hold of it."""
