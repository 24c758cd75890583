#!/usr/bin/env bash
# Runs a command in namespaces of its own: network, processes, mounts and, where the kernel lets it, users.
# Nothing of the machine's own network is touched. When the command ends, or all of this is killed, everything
# that it has started and mounted is gone: /run and what TMPDIR names lie in memory that nobody else sees.
set -euo pipefail

sorry() {
  echo "test-cluster: $1" >&2
  exit 2
}

for program in ip unshare mount; do
  command -v "$program" >/dev/null || sorry "there is no '$program' here; install iproute2 and util-linux"
done
namespaces=(--net --mount --pid --fork --kill-child --mount-proc)
if unshare --user --map-root-user "${namespaces[@]}" true 2>/dev/null; then
  namespaces=(--user --map-root-user "${namespaces[@]}")
elif [ "$(id -u)" != 0 ] || ! unshare "${namespaces[@]}" true 2>/dev/null; then
  sorry "this machine forbids network namespaces; allow user namespaces (sysctl user.max_user_namespaces), or run it as root outside of a container"
fi
unshare "${namespaces[@]}" ip link add type veth 2>/dev/null || sorry "this kernel has no veth pairs"
unshare "${namespaces[@]}" ip link add type bridge 2>/dev/null || sorry "this kernel has no bridges"

unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
# shellcheck disable=SC2016  # the inner shell's business
exec unshare "${namespaces[@]}" bash -euc '
  mount -t tmpfs tmpfs /run
  mkdir /run/netns /run/tmp
  cp /etc/hosts /run/hosts
  mount --bind /run/hosts /etc/hosts
  ip link set dev lo up
  export TMPDIR=/run/tmp TILLIT_BED=1
  exec "$@"
' in_namespaces "$@"
