"""The engine: claim, run, complete. Read worker.py first."""
