"""Celery on Redis: acknowledged late, results kept."""
