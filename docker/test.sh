#!/usr/bin/env bash
# Build the images and run the tests marked "container" with them.
#
# Uses the Docker engine that answers (DOCKER_HOST, or the default socket); else starts the offline
# engine of a development machine where there is one. Without an engine it says so and ends with
# status SKIP_STATUS (0).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

OFFLINE_ENGINE=${OFFLINE_ENGINE:-../shared/tools/offline_engine.sh}

no_engine() {
  echo "skipped: no Docker engine ($*)"
  exit "${SKIP_STATUS:-0}"
}

find_engine() {
  if docker info >/dev/null 2>&1; then
    return
  fi
  [ -x "$OFFLINE_ENGINE" ] || no_engine "none answers, and there is no $OFFLINE_ENGINE"
  [ "$(id -u)" = 0 ] || no_engine "none answers, and starting $OFFLINE_ENGINE needs root"
  local answer
  answer=$("$OFFLINE_ENGINE" start | tail -1) || no_engine "$OFFLINE_ENGINE did not start one"
  eval "$answer"
  # Debian's client matches the engine that it comes with.
  [ ! -x /usr/bin/docker ] || export PATH=/usr/bin:$PATH
  docker info >/dev/null || no_engine "$OFFLINE_ENGINE started one that does not answer"
}

find_engine
start=$SECONDS
docker/build.sh
echo "built in $((SECONDS - start)) s"
# The first test waits for the servers and most pipelines: minutes, on a busy machine many.
"${PYTHON:-.venv/bin/python}" -m pytest tests/containers -m container -rs --durations=15 -o timeout=1800
