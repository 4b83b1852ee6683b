#!/usr/bin/env bash
# Build the images NAME:cpu and NAME:mlflow.
#
#   docker/build.sh             as the names that the profile "local" uses: decloud:cpu, decloud:mlflow
#   docker/build.sh NAME
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=${1:-decloud}
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' decloud_lib/__init__.py)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

# A client without buildx can only use the classic builder.
if [ -z "${DOCKER_BUILDKIT:-}" ] && ! docker buildx version >/dev/null 2>&1; then
  export DOCKER_BUILDKIT=0
fi

for target in cpu mlflow; do
  docker build --file docker/Dockerfile --target "$target" --tag "$name:$target" \
    --build-arg VERSION="$version" --build-arg REVISION="$revision" \
    --build-arg CREATED="$(date --utc +%Y-%m-%dT%H:%M:%SZ)" .
  docker image inspect --format "$name:$target: {{.Size}} bytes" "$name:$target"
done
