"""Dramatiq on Redis: results kept."""
