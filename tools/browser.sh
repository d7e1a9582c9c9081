#!/bin/sh
# Have a Chromium for the tests of the dashboard's pages: the one that is there or, for root on Debian and
# Ubuntu, the distribution's package. Elsewhere those tests are skipped, and say so.
set -eu
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "No Chromium here: the tests of pages in a browser will be skipped." >&2
    exit 0
fi
echo "Installing Chromium for the tests of the dashboard's pages"
export DEBIAN_FRONTEND=noninteractive
if ! { timeout 120 apt-get -qq update && timeout 300 apt-get -qq install --no-install-recommends chromium; } \
    >/dev/null 2>&1 </dev/null; then
    echo "Chromium could not be installed: the tests of pages in a browser will be skipped." >&2
fi
