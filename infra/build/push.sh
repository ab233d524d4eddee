#!/usr/bin/env bash
# Push both images under the build, the commit, the branch and the tag (those there are), and note their digests.
# A branch is `branch-<name>`: one that is named v1.0 or latest must not take a release's tag.
set -euo pipefail
cd "$(dirname "$0")/../.."
source infra/build/names.sh

for image in train serve; do
  name=$_REPOSITORY/$image
  for tag in "$BUILD" "${SHORT_SHA:-}" "${BRANCH_NAME:+branch-$BRANCH_NAME}" "${TAG_NAME:-}"; do
    [[ -n $tag ]] || continue
    given=$tag
    tag=$(LC_ALL=C sed -E 's/[^A-Za-z0-9_.-]/-/g; s/^[.-]+//' <<<"$tag" | cut -c1-128) # feature/x is no tag
    if [[ -z $tag || $tag =~ ^branch-[.-]*$ ]]; then
      echo "$given has no letter or digit that an image's tag may have: $image is not tagged with it"
      continue
    fi
    docker tag "$name:$BUILD" "$name:$tag"
    docker push --quiet "$name:$tag"
  done
  docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$name:$BUILD" |
    grep -m1 -E "^$name@sha256:[0-9a-f]{64}$" >"$STATE/$image" ||
    fail "Docker does not say under which digest $name was pushed" "run the build again"
  cat "$STATE/$image"
done
