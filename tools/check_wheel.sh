#!/bin/sh
# Build the wheel, install it into a throw-away environment as a user would, and run it from there.
#
# The environment lies outside the checkout, so what is imported can only come from the wheel.
set -eu
cd "$(dirname "$0")/.."

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT INT TERM

rm -rf dist
.venv/bin/python -m build --wheel --outdir dist . >"$scratch/log" 2>&1 || {
    cat "$scratch/log" >&2
    exit 1
}
wheel="$(ls dist/*.whl)"
echo "Built $wheel"

.venv/bin/python -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install --quiet "$wheel"
cd "$scratch"
venv/bin/python - <<'PYTHON'
import pathlib
from importlib import metadata

import forthwith
from forthwith.store import migrate

package = pathlib.Path(forthwith.__file__).parent
assert "site-packages" in package.parts, package
assert (package / "py.typed").exists(), "py.typed is missing from the wheel"
for kind in ("migrations", "queries"):
    assert any((package / "store" / kind).glob("*.sql")), f"store/{kind}/*.sql is missing"

web = package / "web"
assert any((web / "templates").glob("*.html")), "web/templates/*.html is missing"
for name in (
    "style.css",
    "live.js",
    "charts.js",
    "vendor/lock.sha256",
    "vendor/htmx/htmx.min.js",
    "vendor/htmx/LICENSE",
    "vendor/uplot/uPlot.iife.min.js",
    "vendor/uplot/uPlot.min.css",
    "vendor/uplot/LICENSE",
):
    assert (web / "static" / name).stat().st_size, f"web/static/{name} is missing or empty"
licences = {path.name for path in metadata.files("forthwith") if "licenses" in path.parts}
assert licences == {"LICENSE", "THIRD_PARTY.md"}, licences
PYTHON
venv/bin/forthwith --version
