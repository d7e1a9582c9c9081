"""Metrics for Prometheus and answers to health checks. Needs the extra `forthwith[metrics]`."""
