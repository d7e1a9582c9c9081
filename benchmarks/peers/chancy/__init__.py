"""Chancy on PostgreSQL: eager polling, and outcomes written as soon as they are there."""
