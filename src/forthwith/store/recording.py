"""Outcomes as the parameters of the statements that record them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from forthwith.outcome import Aborted, Failed, Released, Retry, Succeeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from forthwith.job import ClaimedJob
    from forthwith.outcome import Failure, Outcome


class Recording:
    """A batch of outcomes, sorted by what the database has to do with them."""

    def __init__(self, outcomes: Sequence[Outcome], keeps: Callable[[str], bool]) -> None:
        self._keeps = keeps
        self._ends: dict[tuple[str, int], dict[str, Any]] = {}
        self.releases: dict[str, list[Any]] = {"ids": [], "lease_tokens": []}
        """Of release.sql."""
        self._retries: list[Retry] = []
        self._locks: dict[int, str] = {}
        self._given_back: dict[int, str] = {}
        self._failures: list[tuple[ClaimedJob, Failure]] = []
        self._add_successes([each.job for each in outcomes if isinstance(each, Succeeded)])
        for outcome in outcomes:
            if not isinstance(outcome, Succeeded):
                self._add(outcome)

    @property
    def ends(self) -> list[dict[str, Any]]:
        """Of complete.sql: once for all that ended alike. Most often all have."""
        return list(self._ends.values())

    @property
    def ended(self) -> dict[str, list[int]]:
        """Of recorded.sql: all that ended."""
        return {
            key: [each for end in self.ends for each in end[key]] for key in ("ids", "lease_tokens")
        }

    @property
    def is_plain(self) -> bool:
        """One statement does it all: jobs that ended alike, without locks."""
        others = self._retries or self.releases["ids"] or self._locks or self._failures
        return len(self._ends) == 1 and not others

    @property
    def released_ids(self) -> list[int]:
        """The jobs to give back."""
        return self.releases["ids"]

    def statements(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the statements that are needed, with their parameters. Each returns accepted ids."""
        for end in self._ends.values():
            yield "complete", end
        if self._retries:
            yield "retry", self._retried()
        if self.releases["ids"]:
            yield "release", self.releases

    def locks_of(self, accepted: set[int]) -> list[str]:
        """Return the locks whose line has lost its head, now that these outcomes were accepted."""
        return [lock for job_id, lock in self._locks.items() if job_id in accepted]

    def given_back_in(self, accepted: set[int]) -> list[str]:
        """Return the queues of jobs that were given back: another worker may sleep there."""
        return list({queue for job_id, queue in self._given_back.items() if job_id in accepted})

    def failures_of(self, accepted: set[int]) -> dict[str, list[Any]]:
        """Return record_failures.sql's parameters, for those outcomes that were accepted."""
        taken = [each for each in self._failures if each[0].id in accepted]
        jobs, failures = [job for job, _ in taken], [failure for _, failure in taken]
        return {
            "job_ids": [job.id for job in jobs],
            "worker_ids": [job.worker_id for job in jobs],
            "attempts": [job.attempts + 1 for job in jobs],
            "kinds": [failure.kind for failure in failures],
            "exception_types": [failure.exception_type for failure in failures],
            "messages": [failure.message for failure in failures],
            "tracebacks": [failure.traceback for failure in failures],
        }

    def attempts_but(self, accepted: set[int]) -> dict[str, list[Any]]:
        """Return attempts_recorded.sql's parameters, for those that were not."""
        jobs = [job for job, _ in self._failures if job.id not in accepted]
        return {
            "job_ids": [job.id for job in jobs],
            "attempts": [job.attempts + 1 for job in jobs],
            "worker_ids": [job.worker_id for job in jobs],
        }

    def _retried(self) -> dict[str, list[Any]]:
        """Return retry.sql's parameters."""
        retries = self._retries
        return {
            "ids": [retry.job.id for retry in retries],
            "lease_tokens": [retry.job.lease_token for retry in retries],
            "retry_ats": [retry.retry_at for retry in retries],
            "retry_ins": [retry.retry_in_s for retry in retries],
            "priorities": [retry.priority for retry in retries],
            "queues": [retry.queue for retry in retries],
            "locks": [retry.lock for retry in retries],
        }

    def _add_successes(self, jobs: list[ClaimedJob]) -> None:
        """Most outcomes: column by column, as far as it goes."""
        if jobs:
            end = self._ending("succeeded", spent=1)
            end["ids"] = [job.id for job in jobs]
            end["lease_tokens"] = [job.lease_token for job in jobs]
        self._locks = {job.id: job.lock for job in jobs if job.lock is not None}

    def _add(self, outcome: Failed | Aborted | Retry | Released) -> None:
        match outcome:
            case Failed(job, failure):
                self._end(job, "failed", failure)
            case Aborted(job, failure):
                self._end(job, "aborted", failure)
            case Retry():
                self._failures.append((outcome.job, outcome.failure))
                self._leave_line(outcome.job)
                self._retries.append(outcome)
            case Released(job):
                self.releases["ids"].append(job.id)
                self.releases["lease_tokens"].append(job.lease_token)
                self._given_back[job.id] = job.queue
            case _:
                assert_never(outcome)

    def _end(self, job: ClaimedJob, status: str, failure: Failure | None) -> None:
        # Who was aborted without a failure did not run.
        spent = 0 if status == "aborted" and failure is None else 1
        end = self._ending(status, spent)
        end["ids"].append(job.id)
        end["lease_tokens"].append(job.lease_token)
        self._leave_line(job)
        if failure is not None:
            self._failures.append((job, failure))

    def _ending(self, status: str, spent: int) -> dict[str, Any]:
        """Return where jobs that ended like this are written down."""
        end = self._ends.get((status, spent))
        if end is None:
            end = self._ends[status, spent] = {
                "ids": [],
                "lease_tokens": [],
                "status": status,
                "keep": self._keeps(status),
                "spent": spent,
            }
        return end

    def _leave_line(self, job: ClaimedJob) -> None:
        if job.lock is not None:
            self._locks[job.id] = job.lock
