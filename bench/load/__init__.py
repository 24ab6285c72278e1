"""Load on a running venue, end to end: signed orders over its own sockets, closed loop and open loop.

presign    distinct signed orders, made before the clock starts, on all cores
schedule   when each frame is due: Poisson arrivals from a seed
retrying   a client that sends again whatever it has no result of, and notices a second answer that differs
wire       blocking sockets that speak `/v1/ws` and REST
drive      sends what is due and reads what comes, in one thread; latency counts from the scheduled time
histogram  latencies in logarithmic buckets
venue      sequencer, publisher, gateways, projector and snapshotter on a temporary folder, with funded accounts
"""
