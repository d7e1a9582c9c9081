"""The relay's settings."""

from __future__ import annotations

import pytest

from app.settings import Settings


def test_defaults_apply_to_an_empty_environment() -> None:
    assert Settings.from_environment({}) == Settings()


def test_variables_are_parsed_as_their_setting_is() -> None:
    environment = {
        "RELAY_HOST": "0.0.0.0",  # noqa: S104
        "RELAY_PORT": "80",
        "RELAY_RUN_WORKER": "yes",
        "RELAY_HTTP_TIMEOUT_S": "2.5",
        "OTHER": "ignored",
    }

    settings = Settings.from_environment(environment)

    assert settings == Settings(host="0.0.0.0", port=80, run_worker=True, http_timeout_s=2.5)  # noqa: S104


@pytest.mark.parametrize(
    ("variable", "text"), [("RELAY_PORT", "http"), ("RELAY_RUN_WORKER", "perhaps")]
)
def test_value_that_does_not_parse_names_its_variable(variable: str, text: str) -> None:
    with pytest.raises(ValueError, match=variable):
        Settings.from_environment({variable: text})
