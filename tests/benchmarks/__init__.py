"""The comparison with other queues: what it decides without running anything."""
