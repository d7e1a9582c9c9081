"""None of the founding document's 37 tests may vanish, be renamed, or be joined unnoticed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

NAMES = {
    "tests/test_durability.py": {
        "TestTaskDurability": [
            "test_task_persists_in_queue",
            "test_task_survives_worker_restart",
            "test_failed_task_retries_correctly",
            "test_successful_task_completes_exactly_once",
            "test_concurrent_task_execution_isolation",
            "test_task_idempotency_with_retries",
        ],
        "TestQueueDurability": [
            "test_queue_maintains_order_fifo",
            "test_queueing_lock_prevents_duplicates",
            "test_multiple_queues_independent",
            "test_queue_survives_partial_failures",
        ],
        "TestJobRecovery": [
            "test_job_retry_after_max_attempts",
            "test_exponential_backoff_configuration",
        ],
        "TestDataConsistency": [
            "test_task_state_tracking",
            "test_concurrent_tasks_no_race_condition",
            "test_task_arguments_are_serialized",
        ],
        "TestJobPriority": [
            "test_priority_configuration",
            "test_scheduled_tasks_execute_at_right_time",
        ],
        "TestWorkerResilience": [
            "test_worker_continues_after_task_failure",
            "test_task_timeout_prevents_hanging",
        ],
    },
    "tests/test_throughput.py": {
        "TestBasicThroughput": [
            "test_single_task_execution_time",
            "test_sequential_task_throughput",
            "test_task_deferral_rate",
        ],
        "TestConcurrentThroughput": [
            "test_concurrent_task_processing",
            "test_parallel_deferral_performance",
        ],
        "TestBatchProcessing": [
            "test_small_batch_throughput",
            "test_large_batch_throughput",
        ],
        "TestLoadPerformance": [
            "test_sustained_load_performance",
            "test_burst_load_performance",
            "test_mixed_priority_load",
        ],
        "TestTaskExecutionLatency": [
            "test_task_latency_distribution",
            "test_queue_wait_time",
        ],
        "TestWorkerEfficiency": [
            "test_worker_utilization",
            "test_idle_worker_overhead",
        ],
        "TestScalability": [
            "test_throughput_scaling",
            "test_memory_efficiency",
        ],
        "TestPerformanceRegression": [
            "test_baseline_performance",
            "test_consistent_performance",
        ],
    },
}


def test_founding_suites_have_exactly_their_37_tests() -> None:
    expected = [
        f"{file}::{group}::{name}"
        for file, groups in NAMES.items()
        for group, names in groups.items()
        for name in names
    ]
    assert len(expected) == 37
    assert _collected() == expected


def _collected() -> list[str]:
    """Return the ids of what pytest itself finds in the two files, in order."""
    collection = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *NAMES],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert collection.returncode == 0, collection.stdout + collection.stderr
    return [line for line in collection.stdout.splitlines() if "::" in line]
