#!/usr/bin/env bash
# Run the images as Kubernetes will (numeric user, read-only root, no capabilities): the website answers with a tiny
# model, the steps' command line works, and neither image has what it must not have.
set -euo pipefail
cd "$(dirname "$0")/../.."
source infra/build/names.sh

site=menagerie-smoke-$BUILD
locked=(--read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges --network none)
trap 'docker rm --force "$site" >/dev/null 2>&1 || true; docker volume rm "$site" >/dev/null 2>&1 || true' EXIT

# A volume, since Docker may run on another machine than this script.
docker volume create "$site" >/dev/null
docker run --rm --interactive "${locked[@]}" --entrypoint python "$TRAIN:$BUILD" - <infra/build/tiny.py |
  docker run --rm --interactive --user 0 --volume "$site:/smoke" --entrypoint tar "$SERVE:$BUILD" -x -C /smoke

docker run --detach --name "$site" "${locked[@]}" --volume "$site:/smoke:ro" "$SERVE:$BUILD" \
  serve --models=file:///smoke/models --site=file:///smoke/site.json --host=127.0.0.1 --port=5000 >/dev/null
if ! docker exec --interactive "$site" python - <infra/build/probe.py; then
  docker logs --tail 50 "$site" >&2
  fail "the website of $SERVE:$BUILD does not answer as it must (its log is above)" "nothing was pushed: run 'make image' to see it here"
fi
docker run --rm "${locked[@]}" "$TRAIN:$BUILD" train --help >/dev/null
docker run --rm "${locked[@]}" --entrypoint python "$TRAIN:$BUILD" -c 'import fastai.vision.all, openvino, torchvision'
docker run --rm "${locked[@]}" --entrypoint git "$TRAIN:$BUILD" --version
docker run --rm "${locked[@]}" --entrypoint ssh "$TRAIN:$BUILD" -V
docker run --rm "${locked[@]}" --entrypoint dvc "$TRAIN:$BUILD" --version

small() { # image, megabytes at most
  local bytes
  bytes=$(docker image inspect --format '{{.Size}}' "$1:$BUILD")
  echo "$1: $((bytes / 1000000)) MB"
  ((bytes <= $2 * 1000000)) || fail "$1 is $((bytes / 1000000)) MB, more than $2" "see what its newest package brings: docker history $1:$BUILD"
}
small "$SERVE" 600
[[ ${_TORCH:-cuda} != cpu ]] || small "$TRAIN" 2500
