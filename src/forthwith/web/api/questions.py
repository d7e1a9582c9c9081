"""What can be asked: everything but single jobs."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from forthwith import operations
from forthwith.web.api.documents import document_of, list_of
from forthwith.web.api.requests import HistoryS, HourS, Name
from forthwith.web.dependencies import AtDesk

router = APIRouter(tags=["questions"])


@router.get("/overview", response_model=document_of(operations.Overview))
async def get_overview(desk: AtDesk) -> Any:
    """Return everything at a glance: queues, workers, what fails, the last hour, what is wrong."""
    return await desk.overview()


@router.get("/queues", response_model=list_of(operations.QueueState))
async def get_queues(desk: AtDesk) -> Any:
    """Return the queues with their counts, by name."""
    return await desk.queues()


@router.get("/workers", response_model=list_of(operations.WorkerState))
async def get_workers(desk: AtDesk) -> Any:
    """Return the registered workers, oldest first."""
    return await desk.workers()


@router.get("/tasks", response_model=list_of(operations.TaskState))
async def get_tasks(desk: AtDesk) -> Any:
    """Return the tasks that are known or have jobs, by name."""
    return await desk.tasks()


@router.get("/periodic", response_model=list_of(operations.PeriodicState))
async def get_periodic(desk: AtDesk) -> Any:
    """Return the periodic tasks that workers have told of, by name."""
    return await desk.periodic()


@router.get("/locks", response_model=list_of(operations.LockState))
async def get_locks(desk: AtDesk) -> Any:
    """Return the locks with the longest lines, the longest first."""
    return await desk.locks()


@router.get("/errors", response_model=list_of(operations.ErrorGroup))
async def get_errors(desk: AtDesk, within_s: HourS = 3600) -> Any:
    """Return what failed lately, grouped, the most frequent first."""
    return await desk.error_groups(within_s)


@router.get("/findings", response_model=list_of(operations.Finding))
async def get_findings(desk: AtDesk) -> Any:
    """Return what is wrong, in words, the worst first. Empty: all is well."""
    return await desk.findings()


@router.get("/stats/live", response_model=list_of(operations.LiveCount))
async def get_live_counts(desk: AtDesk) -> Any:
    """Return how many jobs have not ended, by queue and task."""
    return await desk.live_counts()


@router.get("/stats/history", response_model=list_of(operations.TallyPoint))
async def get_history(
    desk: AtDesk,
    within_s: HistoryS = 3600,
    queue: Annotated[Name | None, Query()] = None,
    task: Annotated[Name | None, Query()] = None,
) -> Any:
    """Return what ended lately by step of time, the oldest first."""
    return await desk.history(within_s, queue=queue, task=task)
