"""What keeps the lab from measuring."""

from __future__ import annotations

from forthwith.errors import ForthwithError


class BenchRefused(ForthwithError):  # noqa: N818 -- named as the other exceptions of forthwith
    """The lab cannot or may not work there; the message says why, and what would help."""


class ChildDied(ForthwithError):  # noqa: N818 -- as above
    """A worker or producer process of the lab has died by itself."""


class JobsStalled(ForthwithError):  # noqa: N818 -- as above
    """Jobs that should have run did not, for a long time."""


class SchemaLeft(ForthwithError):  # noqa: N818 -- as above
    """The lab's schema could not be dropped; the message names it, and says how to do it."""


class PlotUnavailable(ForthwithError):  # noqa: N818 -- as above
    """There is nothing to draw pictures with."""
