#!/usr/bin/env bash
# Debian's Chromium for the browser tests, unless there is one: installed as root; otherwise its packages and
# the libraries that are missing are unpacked in .cache/chromium of this project, and nothing else is touched.
set -euo pipefail
cd "$(dirname "$0")/../.."
here="$PWD/.cache/chromium"

if command -v chromium >/dev/null || [ -x "$here/chromium" ]; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "browser: no chromium here, and no apt-get to get it by; install it, or name one by CHROMIUM=/path" >&2
  exit 1
fi
if [ "$(id -u)" = 0 ]; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends chromium >/dev/null
  exit 0
fi

rm -rf "$here"
mkdir -p "$here/apt/lists/partial" "$here/apt/archives/partial"
apt=(apt-get -qq -o "Dir::State::lists=$here/apt/lists" -o "Dir::Cache=$here/apt" -o Debug::NoLocking=true)
"${apt[@]}" update
"${apt[@]}" install --yes --download-only --no-install-recommends chromium >/dev/null
for package in "$here"/apt/archives/*.deb; do
  dpkg-deb --extract "$package" "$here"
done
rm -rf "$here/apt"
cat >"$here/chromium" <<'LAUNCHER'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
for directory in "$here"/usr/lib/*-linux-gnu "$here"/usr/lib/*-linux-gnu/pulseaudio "$here"/lib/*-linux-gnu; do
  LD_LIBRARY_PATH="$directory:$LD_LIBRARY_PATH"
done
export LD_LIBRARY_PATH
exec "$here/usr/lib/chromium/chromium" "$@"
LAUNCHER
chmod +x "$here/chromium"
"$here/chromium" --version
