#!/usr/bin/env bash
# Push images that docker/build.sh made, and write the part of a profile that names them by digest.
#
#   docker/push.sh registry.example.org/decloud                     all for CPUs
#   docker/push.sh registry.example.org/decloud train-gpu infer-gpu
#   DRY_RUN=1 docker/push.sh ...                                    say what would be pushed
#
# decloud:train becomes REGISTRY/train:VERSION. Log in before (docker login).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

stop() {
  echo "push: $*" >&2
  exit 2
}

name=${NAME:-decloud}
registry=${1:-}
[ -n "$registry" ] || stop "no registry: docker/push.sh REGISTRY [TARGET...], make push REGISTRY=..."
shift
[ $# -gt 0 ] || set -- prepare train infer retrain mlflow

label() { docker image inspect --format "{{index .Config.Labels \"$2\"}}" "$1"; }

# All are looked at before the first is sent.
for target in "$@"; do
  docker image inspect "$name:$target" >/dev/null 2>&1 || stop "there is no image $name:$target: make images"
  revision=$(label "$name:$target" org.opencontainers.image.revision)
  case $revision in
    '' | unknown | *-dirty)
      stop "$name:$target was built from '$revision', which nobody can check out: commit, then make images" ;;
  esac
  # Stand-ins for the public base images hold a machine's package mirror and certificates.
  case $registry in
    localhost[:/]* | 127.0.0.1[:/]*) ;;
    *) [ -z "$(label "$name:$target" offline_engine.host)" ] || stop "$name:$target stands on a local base image: build it where the public one can be had" ;;
  esac
done

out=${OUT:-build/images.yaml}
mkdir -p "$(dirname "$out")"
profile=() overlay=()
for target in "$@"; do
  place=$registry/$target:$(label "$name:$target" org.opencontainers.image.version)
  echo "push: $name:$target to $place"
  [ -z "${DRY_RUN:-}" ] || continue
  docker tag "$name:$target" "$place"
  docker push --quiet "$place" >/dev/null
  digest=$(docker image inspect --format '{{join .RepoDigests "\n"}}' "$place" | grep -F "$registry/$target@" | tail -1)
  case $target in
    mlflow | retrain) overlay+=("  - {name: decloud/$target, newName: ${digest%@*}, digest: ${digest#*@}}") ;;
    *) profile+=("  ${target%-gpu}: $digest") ;;
  esac
done
[ -z "${DRY_RUN:-}" ] || exit 0
if [ ${#profile[@]} -gt 0 ]; then
  printf '%s\n' "images:" "${profile[@]}" >"$out"
  echo "push: $out names them by digest: put it into a profile (k8s/profiles)"
fi
if [ ${#overlay[@]} -gt 0 ]; then
  printf '%s\n' "push: for the images of an overlay (k8s/overlays):" "images:" "${overlay[@]}"
fi
