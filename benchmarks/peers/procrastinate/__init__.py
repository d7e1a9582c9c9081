"""Procrastinate, the project whose API forthwith keeps."""
