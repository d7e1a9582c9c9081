#!/bin/sh
# Remove what make and the tools have made: .venv, .forthwith (with its databases), caches, dist.
#
# An embedded PostgreSQL that still runs from .forthwith is stopped first. It is found by its pid file
# and only believed when that process is a postgres that runs on this very directory. Where root's
# checkout can't be entered by PostgreSQL's account, a home's data lie under /var/lib/forthwith and
# data-location.txt says where.
set -eu
cd "$(dirname "$0")/.."

find_bases() {
    find "$PWD/.forthwith" -type d -name data -prune -exec dirname {} \;
    find "$PWD/.forthwith" -type f -name data-location.txt -exec cat {} \;
}

stop_server() {
    [ -f "$1/postmaster.pid" ] || return 0
    pid="$(head -n 1 "$1/postmaster.pid")"
    case "$(ps -o args= -p "$pid" 2>/dev/null || true)" in
    *postgres*"$1"*) ;;
    *) return 0 ;;
    esac
    echo "Stopping the embedded PostgreSQL in $1"
    kill -INT "$pid"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 1
    done
    echo "PostgreSQL (pid $pid) has not stopped within 10 s; nothing was removed." >&2
    return 1
}

if [ -d .forthwith ]; then
    bases="$(find_bases)"
    printf '%s\n' "$bases" | while IFS= read -r base; do
        [ -z "$base" ] || stop_server "$base/data"
    done
    printf '%s\n' "$bases" | while IFS= read -r base; do
        case "$base" in
        /var/lib/forthwith/?*) rm -rf "$base" ;;
        esac
    done
fi

rm -rf .venv .forthwith dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
    .hypothesis .coverage .coverage.* benchmarks/.environments \
    src/forthwith/web/static/vendor frontend/node_modules frontend/failed.txt
find . -name __pycache__ -type d -prune -exec rm -rf {} +
