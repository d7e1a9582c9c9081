"""Oban for Python on PostgreSQL: the open-source package, its queue without a debounce."""
