"""The one place that touches Procrastinate's internals.

Everything else in forthwith uses Procrastinate's documented names. What has no documented name is
wrapped here, so that a new Procrastinate release is checked by reading one file.
"""

from __future__ import annotations
