#!/usr/bin/env bash
# Build the images train and serve into this machine's Docker; in Cloud Build with the registry as layer cache.
set -euo pipefail
cd "$(dirname "$0")/../.."
source infra/build/names.sh

torch=${_TORCH:-cuda}
base=${_BASE:-$(sed -n 's/^ARG BASE=//p' model_service/Dockerfile)}
if [[ $base != *@sha256:* ]]; then # a tag moves: build on what it names today, and write that down
  base=$base@$(docker buildx imagetools inspect "$base" --format '{{.Manifest.Digest}}')
fi
[[ $base =~ @sha256:[0-9a-f]{64}$ ]] || fail "the base image has no digest: $base" "give _BASE a tag that exists, or tag@sha256:…"

# What the images are made of, as one hash: images of the same content are not rolled out again (environment.sh).
content=$({
  echo "$base $torch"
  find model_service plugins/menagerie_contract .dockerignore locks -type f \
    ! -path '*/__pycache__/*' ! -name '*.pyc' \
    \( ! -path 'locks/*' -o -name uv.txt -o -name serve.txt -o -name model.txt -o -name model-cpu.txt \) -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum
} | sha256sum | cut -d' ' -f1)
printf '%s\n' "$base" >"$STATE/base"
printf '%s\n' "$content" >"$STATE/content"

if [[ -n ${_REPOSITORY:-} ]]; then # Docker's own builder cannot keep a cache in a registry
  docker buildx create --name menagerie --driver docker-container --use
fi

build() { # target, image
  local flags=()
  if [[ -n ${_REPOSITORY:-} ]]; then
    local cache=type=registry,ref=$_REPOSITORY/cache:$1
    flags+=(--cache-from "$cache")
    # what a pull request leaves in a cache would end up in a release
    [[ -n ${_PR_NUMBER:-} ]] || flags+=(--cache-to "$cache,mode=max,image-manifest=true,oci-mediatypes=true")
  fi
  docker buildx build --file model_service/Dockerfile --target "$1" --tag "$2:$BUILD" --load --provenance=false \
    "${flags[@]}" \
    --build-arg BASE="$base" \
    --build-arg TORCH="$torch" \
    --build-arg REVISION="${COMMIT_SHA:-unknown}" \
    --build-arg CREATED="$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
    --build-arg VERSION="${TAG_NAME:-${SHORT_SHA:-unreleased}}" \
    --build-arg SOURCE="${REPO_FULL_NAME:+https://github.com/$REPO_FULL_NAME}" \
    .
}
build serve "$SERVE"
build train "$TRAIN"
echo "built on $base, content $content"
