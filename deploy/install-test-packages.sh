#!/bin/sh
# Install the Debian packages that some tests need. Where that is not possible, say so in one line and go on: those
# tests are skipped then (and fail under REQUIRE_ALL=1).
set -u

missing=""
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
command -v ip >/dev/null 2>&1 || missing="$missing iproute2"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "Not installed, as this is no Debian system:$missing"
    exit 0
fi
if [ "$(id -u)" -eq 0 ]; then
    sudo=""
elif sudo -n true >/dev/null 2>&1; then
    sudo="sudo -n"
else
    echo "Not installed, as it needs root rights:$missing"
    exit 0
fi

echo "Installing for the tests:$missing"
# RUNLEVEL=1: installing a server must not start it.
if ! { $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
    $sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get -qq install --yes --no-install-recommends $missing; } \
    >/dev/null 2>&1; then
    echo "Could not be installed:$missing"
fi
exit 0
