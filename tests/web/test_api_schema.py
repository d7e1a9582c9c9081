"""The API keeps to its OpenAPI document, whatever it is sent; and the docs know all of it."""

from __future__ import annotations

import asyncio
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import positive_data_acceptance

import forthwith
from forthwith import App
from forthwith.web import dashboard
from forthwith.web.problems import MEDIA_TYPE
from tests.web.conftest import HERE
from tests.web.own_process import serving
from tests.web.populated import app_of, populate

if TYPE_CHECKING:
    from collections.abc import Iterator

# Either `filter` or `ids`, and `at` with one action alone: a schema could say it, but nobody could read it.
NEED_ONE_OF_TWO = ("/api/actions/preview", "/api/actions/apply")
PAGE = (Path(__file__).parents[2] / "docs/reference/api.md").read_text("utf-8")


@pytest.fixture(scope="module")
def served(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The API of a real dashboard process on a database with jobs of every kind."""

    async def fill() -> None:
        app = app_of(module_database_url)
        async with app.open_async():
            await populate(app)

    asyncio.run(fill())
    with serving(module_database_url, tmp_path_factory.mktemp("served")) as dashboard:
        yield schemathesis.openapi.from_url(f"{dashboard.url}/api/openapi.json")


def documented() -> dict[str, Any]:
    """Return the OpenAPI document."""
    return dashboard(App("postgresql://unused/unused"), open_to_all="viewer").routes.openapi()


def operations() -> Iterator[tuple[str, str, GenerationMode]]:
    """Yield everything that the API answers, with what is right and, where there is any, what is wrong."""
    for path, item in documented()["paths"].items():
        for method, operation in item.items():
            yield path, method.upper(), GenerationMode.POSITIVE
            # Any text can be a queue's name; what cannot is tested elsewhere.
            given_in = {parameter["in"] for parameter in operation.get("parameters", [])}
            if "requestBody" in operation or "query" in given_in or "{job_id}" in path:
                yield path, method.upper(), GenerationMode.NEGATIVE


@pytest.mark.parametrize(("path", "method", "mode"), list(operations()))
def test_answers_are_what_the_document_says(
    served: Any, path: str, method: str, mode: GenerationMode
) -> None:
    cases = served[path][method].as_strategy(generation_mode=mode)
    excluded = [positive_data_acceptance] if path in NEED_ONE_OF_TWO else []

    @given(case=cases)
    @settings(
        derandomize=True,
        max_examples=5,
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=HERE, excluded_checks=excluded)

    check()


def test_every_problem_is_documented_in_its_shape() -> None:
    document = documented()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for status, response in operation["responses"].items():
                if status >= "400":
                    schema = response["content"][MEDIA_TYPE]["schema"]
                    assert schema == {"$ref": "#/components/schemas/Problem"}, (
                        path,
                        method,
                        status,
                    )
            assert {"400", "401", "403", "422", "503"} <= set(operation["responses"])
            if "{job_id}" in path:
                assert "404" in operation["responses"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_every_field_of_the_operations_is_answered() -> None:
    schemas = documented()["components"]["schemas"]
    values = [value for value in vars(forthwith.operations).values() if is_dataclass(value)]
    answered = [value for value in values if value is not forthwith.operations.JobFilter]
    assert len(answered) > 10
    for value in answered:
        assert {field.name for field in fields(value)} <= set(schemas[value.__name__]["properties"])


def test_every_operation_is_in_the_docs() -> None:
    for path, item in documented()["paths"].items():
        for method in item:
            assert f"| `{method.upper()} {path}` |" in PAGE
