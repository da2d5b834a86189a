#!/bin/sh
# Installs the C libraries that Mintmark stands on, where they are missing: OpenSSL's libcrypto (tests only),
# libsecp256k1, SQLite and zlib. Asks for sudo only where it is needed and does nothing where all is there.
set -eu

packages="libssl-dev libsecp256k1-dev libsqlite3-dev zlib1g-dev pkg-config"
missing=""
for package in $packages; do
    if ! dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then
        # pkgconf provides pkg-config on newer releases.
        if [ "$package" = pkg-config ] && command -v pkg-config >/dev/null 2>&1; then continue; fi
        missing="$missing $package"
    fi
done

if [ -z "$missing" ]; then
    echo "dependencies: all here (${packages})"
    exit 0
fi

if [ "$(id -u)" -eq 0 ]; then
    sudo=""
elif command -v sudo >/dev/null 2>&1; then
    sudo="sudo"
else
    echo "dependencies: missing:${missing}. Run as root: apt-get install${missing}" >&2
    exit 1
fi

echo "dependencies: installing${missing}"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
echo "dependencies: done"
