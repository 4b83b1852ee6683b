#!/usr/bin/env bash
# Build the image.
#
#   docker/build.sh             as the name that the pipelines use on this machine (decloud:cpu)
#   docker/build.sh NAME:TAG
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

image=${1:-decloud:cpu}
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' decloud_lib/__init__.py)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

# A client without buildx can only use the classic builder.
if [ -z "${DOCKER_BUILDKIT:-}" ] && ! docker buildx version >/dev/null 2>&1; then
  export DOCKER_BUILDKIT=0
fi

docker build --file docker/Dockerfile --target cpu --tag "$image" \
  --build-arg VERSION="$version" --build-arg REVISION="$revision" \
  --build-arg CREATED="$(date --utc +%Y-%m-%dT%H:%M:%SZ)" .
docker image inspect --format "$image: {{.Size}} bytes" "$image"
