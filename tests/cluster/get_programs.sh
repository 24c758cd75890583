#!/usr/bin/env bash
# What some tests of the test bed want beside Python's wheels: Debian's nginx and libfaketime, unless they are here.
# Their packages are unpacked in .cache/cluster of this project, and nothing else is touched, nor started.
# And the wheels that the operator's page installs from, since no index can be reached from within.
set -euo pipefail
cd "$(dirname "$0")/../.."
here="$PWD/.cache/cluster"

if [ pyproject.toml -nt "$here/wheels" ]; then
  rm -rf "$here/wheels"
  .venv/bin/pip wheel --quiet --disable-pip-version-check --wheel-dir "$here/wheels" ".[server]" "hatchling>=1.25"
fi

wanted=()
[ -x /usr/sbin/nginx ] || [ -x "$here/usr/sbin/nginx" ] || wanted+=(nginx)
compgen -G "/usr/lib/*/faketime/libfaketimeMT.so.1" >/dev/null ||
  compgen -G "$here/usr/lib/*/faketime/libfaketimeMT.so.1" >/dev/null || wanted+=(libfaketime)
[ ${#wanted[@]} -gt 0 ] || exit 0
if ! command -v apt-get >/dev/null; then
  echo "test-cluster: no ${wanted[*]} here, and no apt-get to get it by" >&2
  exit 0
fi
mkdir -p "$here/apt/lists/partial" "$here/apt/archives/partial"
apt=(apt-get -qq -o "Dir::State::lists=$here/apt/lists" -o "Dir::Cache=$here/apt" -o Debug::NoLocking=true)
if "${apt[@]}" -o APT::Sandbox::User=root update &&
  "${apt[@]}" -o APT::Sandbox::User=root install --yes --download-only --no-install-recommends "${wanted[@]}" >/dev/null; then
  for package in "$here"/apt/archives/*.deb; do
    dpkg-deb --extract "$package" "$here"
  done
else
  echo "test-cluster: could not get ${wanted[*]}" >&2
fi
rm -rf "$here/apt"
