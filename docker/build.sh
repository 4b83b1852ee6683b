#!/usr/bin/env bash
# Build images: decloud:prepare, train, infer, retrain and mlflow, or those named.
#
#   docker/build.sh                       the images for CPUs, as the profile "local" names them
#   docker/build.sh train-gpu infer-gpu   targets of the Dockerfile
#   NAME=mine docker/build.sh             as mine:prepare, ...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=${NAME:-decloud}
[ $# -gt 0 ] || set -- prepare train infer retrain mlflow
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' decloud_lib/__init__.py)
revision=$(git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null || echo unknown)

# The classic builder would build every stage.
export DOCKER_BUILDKIT=1

# A wheel of the Orfeo ToolBox's module that otb/install.sh made on this machine, for the images' Python,
# serves them too: else 701 MB are downloaded and the module is compiled once more.
rm -f docker/otb/*.whl
find "${XDG_CACHE_HOME:-$HOME/.cache}/decloud/otb" -maxdepth 1 -name '*-cp311-*.whl' -exec cp -pt docker/otb {} + 2>/dev/null || true

declare -A about=(
  [prepare]="all steps in which no network runs" [train]="networks on a CPU"
  [train-gpu]="networks on NVIDIA GPUs" [infer]="reconstruction with the Orfeo ToolBox, on a CPU"
  [infer-gpu]="reconstruction with the Orfeo ToolBox, on NVIDIA GPUs"
  [retrain]="compares, submits pipelines and follows them"
  [mlflow]="MLflow tracking server, with PostgreSQL and S3"
)
for target in "$@"; do
  [ -n "${about[$target]:-}" ] || { echo "unknown image $target: expected ${!about[*]}" >&2; exit 2; }
  labels=(title="decloud-$target" description="Cloud removal in Sentinel-2 images: ${about[$target]}"
    licenses=Apache-2.0 version="$version" revision="$revision" created="$(date --utc +%Y-%m-%dT%H:%M:%SZ)")
  docker build --file docker/Dockerfile --target "$target" --tag "$name:$target" --build-arg REVISION="$revision" \
    "${labels[@]/#/--label=org.opencontainers.image.}" ${PROGRESS:+--progress "$PROGRESS"} .
  docker image inspect --format "$name:$target: {{.Size}} bytes" "$name:$target"
done
