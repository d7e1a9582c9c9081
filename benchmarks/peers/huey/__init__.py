"""Huey on SQLite: every commit synced, results kept."""
