#!/usr/bin/env bash
# Debian's SoftHSM2 for the tests of PKCS#11, unless there is one: installed as root; otherwise its packages are
# unpacked in .cache/softhsm of this project, and nothing else is touched.
set -euo pipefail
cd "$(dirname "$0")/../.."
here="$PWD/.cache/softhsm"

if [ -e /usr/lib/softhsm/libsofthsm2.so ] || [ -e "$here/usr/lib/softhsm/libsofthsm2.so" ]; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "hsm: no SoftHSM2 here, and no apt-get to get it by; install it, or name its module by SOFTHSM=/path" >&2
  exit 1
fi
if [ "$(id -u)" = 0 ]; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends softhsm2 libsofthsm2 >/dev/null
  exit 0
fi

rm -rf "$here"
mkdir -p "$here/apt/lists/partial" "$here/apt/archives/partial"
apt=(apt-get -qq -o "Dir::State::lists=$here/apt/lists" -o "Dir::Cache=$here/apt" -o Debug::NoLocking=true)
"${apt[@]}" update
"${apt[@]}" install --yes --download-only --no-install-recommends softhsm2 libsofthsm2 >/dev/null
for package in "$here"/apt/archives/*.deb; do
  dpkg-deb --extract "$package" "$here"
done
rm -rf "$here/apt"
test -e "$here/usr/lib/softhsm/libsofthsm2.so"
