"""The tree of exceptions."""

from __future__ import annotations

import inspect
import pickle

import procrastinate.exceptions
import pytest

from forthwith import errors

ours = [
    error
    for _, error in inspect.getmembers(errors, inspect.isclass)
    if issubclass(error, errors.ForthwithError)
]
about_arguments = [error for error in ours if issubclass(error, errors.InvalidArgument)]
about_jobs = [error for error in ours if issubclass(error, errors.JobFailed)]
others = [error for error in ours if error not in (*about_arguments, *about_jobs)]


@pytest.mark.parametrize("name", errors.__all__)
def test_one_except_clause_catches_every_error(name: str) -> None:
    assert issubclass(getattr(errors, name), procrastinate.exceptions.ProcrastinateException)


@pytest.mark.parametrize("name", errors.__all__)
def test_the_tree_is_drawn_with_every_error(name: str) -> None:
    assert errors.__doc__ is not None
    assert name in errors.__doc__


@pytest.mark.parametrize("error", others)
def test_an_error_without_a_message_says_what_happened(error: type[errors.ForthwithError]) -> None:
    assert str(error()) == inspect.getdoc(error)
    assert str(error("the database is full")) == "the database is full"


@pytest.mark.parametrize("error", about_arguments)
def test_an_error_about_an_argument_names_it(error: type[errors.InvalidArgument]) -> None:
    raised = pickle.loads(pickle.dumps(error("queue", "must not be empty")))  # noqa: S301
    assert type(raised) is error
    assert str(raised) == "queue: must not be empty"
    assert raised.argument == "queue"
    assert isinstance(raised, ValueError)


@pytest.mark.parametrize("error", [errors.DatabaseUnavailable, errors.SchemaMissing])
def test_what_the_database_raises_is_a_connector_exception(
    error: type[errors.ForthwithError],
) -> None:
    assert issubclass(error, procrastinate.exceptions.ConnectorException)


@pytest.mark.parametrize("error", about_jobs)
def test_an_error_about_a_job_says_what_became_of_it(error: type[errors.JobFailed]) -> None:
    assert str(error(7, "failed")) == "Job 7 has failed"
    told = {"exception_type": "ValueError", "message": "no", "traceback": "Traceback: …"}
    raised = pickle.loads(pickle.dumps(error(7, "aborted", **told)))  # noqa: S301
    assert type(raised) is error
    assert str(raised) == "Job 7 was aborted: ValueError: no\n\nTraceback: …"
    assert (raised.job_id, raised.status) == (7, "aborted")
    assert {name: getattr(raised, name) for name in told} == told
