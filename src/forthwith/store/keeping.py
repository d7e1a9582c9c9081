"""What is kept of jobs that ended, and who is told: for tasks whose results are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forthwith.outcome import Released, Retry, Succeeded

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from forthwith.engine.ports import Claim, KeptResult
    from forthwith.outcome import Outcome

CHARACTERS_MAX = 16 * 1024 * 1024
"""How much of results goes in one statement: far below what PostgreSQL takes for one value."""
PAYLOAD_IDS_MAX = 350
"""How many ids fit a notification: PostgreSQL's limit is 7999 bytes."""


class Keeping:
    """Fits results to a batch of outcomes that the database has accepted."""

    def __init__(
        self,
        outcomes: Sequence[Outcome],
        results: Mapping[Claim, KeptResult | None],
        accepted: Collection[int],
    ) -> None:
        """Take results by job and lease token; None where the run left none."""
        self._kept: list[tuple[int, KeptResult]] = []
        self._ended: list[int] = []
        for outcome in outcomes:
            job = outcome.job
            claim = (job.id, job.lease_token)
            if claim not in results or job.id not in accepted:
                continue
            result = results[claim]
            if result is not None and isinstance(outcome, Succeeded):
                self._kept.append((job.id, result))
            if not isinstance(outcome, Retry | Released):
                self._ended.append(job.id)

    def statements(self, channel: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the statements that are needed, with their parameters."""
        for part in self._parts():
            yield (
                "keep_results",
                {
                    "job_ids": [job_id for job_id, _ in part],
                    "values": [result.text for _, result in part],
                    "ttls_s": [result.ttl_s for _, result in part],
                },
            )
        if self._ended:
            yield "tell_done", {"channel": channel, "payloads": payloads_of(self._ended)}

    def _parts(self) -> Iterator[list[tuple[int, KeptResult]]]:
        part: list[tuple[int, KeptResult]] = []
        characters = 0
        for job_id, result in self._kept:
            if part and characters + len(result.text) > CHARACTERS_MAX:
                yield part
                part, characters = [], 0
            part.append((job_id, result))
            characters += len(result.text)
        if part:
            yield part


def payloads_of(ids: Sequence[int]) -> list[str]:
    """Return the ids as payloads of notifications."""
    return [
        " ".join(map(str, ids[first : first + PAYLOAD_IDS_MAX]))
        for first in range(0, len(ids), PAYLOAD_IDS_MAX)
    ]
