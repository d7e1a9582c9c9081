#!/bin/sh
# Remove what make and the tools have made: .venv, .forthwith (with its databases), caches, dist.
#
# An embedded PostgreSQL that still runs from .forthwith is stopped first. It is found by its pid file
# and only believed when that process is a postgres that runs on this very directory.
set -eu
cd "$(dirname "$0")/.."

stop_server() {
    data_directory="$(dirname "$1")"
    pid="$(head -n 1 "$1")"
    case "$(ps -o args= -p "$pid" 2>/dev/null || true)" in
    *postgres*"$data_directory"*) ;;
    *) return 0 ;;
    esac
    echo "Stopping the embedded PostgreSQL in $data_directory"
    kill -INT "$pid"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 1
    done
    echo "PostgreSQL (pid $pid) has not stopped within 10 s; nothing was removed." >&2
    return 1
}

if [ -d .forthwith ]; then
    pid_files="$(find "$PWD/.forthwith" -name postmaster.pid)"
    printf '%s\n' "$pid_files" | while IFS= read -r pid_file; do
        [ -z "$pid_file" ] || stop_server "$pid_file"
    done
fi

rm -rf .venv .forthwith dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
    .hypothesis .coverage .coverage.* benchmarks/.environments
find . -name __pycache__ -type d -prune -exec rm -rf {} +
