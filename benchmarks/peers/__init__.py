"""One package a peer. See `benchmarks/peers/protocol.py` for what a peer has to bring."""
