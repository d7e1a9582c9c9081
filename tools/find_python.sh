#!/bin/sh
# Print the first Python that forthwith runs on (3.11 or later), or say what is missing and fail.
#
# $PYTHON, when set, is the only candidate. A candidate is tried by running it, because a name on the
# PATH may be a shim with nothing behind it.
set -eu

is_usable() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14 python}; do
    if is_usable "$candidate"; then
        command -v "$candidate"
        exit 0
    fi
done

if [ -n "${PYTHON:-}" ]; then
    echo "PYTHON=$PYTHON is not a working Python 3.11 or later." >&2
else
    echo "forthwith needs Python 3.11 or later, and none was found on the PATH." >&2
    echo "Install one, or name it: make PYTHON=/path/to/python3 <target>" >&2
fi
exit 1
