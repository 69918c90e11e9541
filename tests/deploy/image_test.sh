#!/usr/bin/env bash
# Builds the Dockerfile's cpu target, unmodified, without Docker and without an image registry; runs it as its user on
# loopback with an API key and an admin port, waits for its own health check, speaks to it, and stops it with SIGTERM. Needs root, buildah, mmdebstrap
# and, for buildah, netavark. Takes a few minutes and up to 30 GB below TMPDIR, all of it removed at the end.
#   MODELS=DIR   serve the model directory DIR, mounted at /models/test, instead of the model in the image
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

for tool in buildah mmdebstrap; do
    if ! command -v "$tool" >/dev/null; then
        echo "image-test: skipped, $tool is not installed (Debian: apt-get install buildah mmdebstrap netavark)"
        exit 0
    fi
done

work=$(mktemp -d "${TMPDIR:-/tmp}/image-test.XXXXXX")
image=localhost/flow-vocoder:test
app_job=
b() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs "$@"; }
say() { printf '== %s (%d s)\n' "$*" "$SECONDS"; }
fail() { say "FAILED: $*"; [ ! -s "$work/app.log" ] || tail -n 40 "$work/app.log"; exit 1; }

clean_up() {
    if [ -n "$app_job" ]; then
        app_pids | xargs -r kill -KILL 2>/dev/null || true
        wait "$app_job" 2>/dev/null || true
    fi
    b rm --all >/dev/null 2>&1 || true
    b rmi --all --force >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap clean_up EXIT

# Every process below the given one, deepest last.
descendants() {
    local child
    for child in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
        echo "$child"
        descendants "$child"
    done
}
# Those of them that run as the image's user.
app_pids() {
    local pid
    for pid in $(descendants "$app_job"); do
        if grep -qE "^Uid:\s+$user\s" "/proc/$pid/status" 2>/dev/null; then echo "$pid"; fi
    done
}
from_image() { # FIELD: a field of the image's configuration as lines
    b inspect --type image "$image" | python3 -c '
import json, sys
value = json.load(sys.stdin)["Docker"]["config"]
for key in sys.argv[1].split("."):
    value = value[key]
print("\n".join(value) if isinstance(value, list) else value)' "$1"
}

# Without CAP_SYS_RESOURCE limits cannot be raised, so ask for exactly those that hold here.
limits=()
for limit in nofile:n nproc:u; do
    value=$(ulimit -H"${limit#*:}")
    [ "$value" = unlimited ] || limits+=(--ulimit "${limit%:*}=$value:$value")
done

# 1. A base with the very name that the Dockerfile uses, made from Debian's packages.
base=$(awk '$1 == "FROM" {print $2; exit}' Dockerfile)
suite=${base##*-}
mapfile -t sources < <(grep -rlE "\b$suite\b" /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null || true)
say "making $base from Debian $suite"
mmdebstrap --quiet --variant=minbase --include=python3,python3-venv,ca-certificates "$suite" "$work/base.tar" "${sources[@]}"
container=$(b from "${limits[@]}" scratch)
b add --quiet "$container" "$work/base.tar" / >/dev/null
b commit --quiet "$container" "docker.io/library/$base" >/dev/null
b rm "$container" >/dev/null
rm "$work/base.tar"

# 2. The Dockerfile as it is, with this host's way to its package index.
mapfile -t mounts < <(python3 tests/deploy/host_pip.py "$work/pip.conf" | sed 's/^/--volume=/')
say "building target cpu"
b bud --isolation chroot --network host --pull=never --format docker --target cpu \
    "${limits[@]}" "${mounts[@]}" --tag "$image" . >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log"; fail "build"; }

user=$(from_image User)
user=${user%%:*}
mapfile -t entrypoint < <(from_image Entrypoint)
mapfile -t health < <(from_image Healthcheck.Test | tail -n +2)
[ "$user" = 10001 ] || fail "the image runs as '$user', not as 10001"
say "built: user $user, entrypoint ${entrypoint[*]}, $(b images --format '{{.Size}}' "$image")"

# 3. Run it as its user. buildah run applies the image's user and environment, and the entry point is named.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
admin_port=$(free_port)
key=image-test-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
echo "prober:$key" >"$work/keys"
chmod 644 "$work/keys"  # the image's user must read it
container=$(b from "${limits[@]}" --pull=never "$image")
run=(run --isolation chroot --network host --env "VOCODER_HOST=127.0.0.1" --env "VOCODER_PORT=$port"
    --env "VOCODER_ADMIN_HOST=127.0.0.1" --env "VOCODER_ADMIN_PORT=$admin_port"
    --volume "$work/keys:/run/keys:ro" --env VOCODER_API_KEYS_FILE=/run/keys)
[ -z "${MODELS:-}" ] || run+=(--volume "$(realpath "$MODELS"):/models/test:ro" --env VOCODER_MODELS=/models/test)
if b "${run[@]}" "$container" -- sh -c 'touch /opt/venv/x || touch /models/x' 2>/dev/null; then
    fail "the image's user can write to the image"
fi
say "starting on port $port"
b "${run[@]}" "$container" -- "${entrypoint[@]}" >"$work/app.log" 2>&1 &
app_job=$!

healthy=
for _ in $(seq 180); do
    kill -0 "$app_job" 2>/dev/null || fail "the server ended before it was ready"
    if b "${run[@]}" "$container" -- "${health[@]}" >"$work/health.log" 2>&1; then healthy=yes; break; fi
    sleep 1
done
[ -n "$healthy" ] || { tail -n 5 "$work/health.log"; fail "the health check did not pass"; }
say "health check passed"

python3 tests/deploy/image_probe.py "http://127.0.0.1:$port" --admin "http://127.0.0.1:$admin_port" --key "$key" || fail "the answer to a mel"

# 4. What a container runtime does first to stop it.
mapfile -t pids < <(app_pids)
[ "${#pids[@]}" -gt 0 ] || fail "no process runs as user $user"
kill -TERM "${pids[@]}"
for _ in $(seq 30); do [ -z "$(app_pids)" ] && break; sleep 1; done
[ -z "$(app_pids)" ] || fail "the server did not stop within 30 s of SIGTERM"
wait "$app_job" || true
app_job=
if grep -q Traceback "$work/app.log"; then fail "a traceback in the server's log"; fi
say "stopped by SIGTERM; passed"
