#!/usr/bin/env bash
# Point the Composer environment at the images, by digest, and give it our packages; only what changed, since every
# update restarts Airflow's workers. Which images a release had is written into the environment's bucket, for good.
set -euo pipefail
cd "$(dirname "$0")/../.."
source infra/build/names.sh
releases || exit 0

train=$(<"$STATE/train") serve=$(<"$STATE/serve") content=$(<"$STATE/content") base=$(<"$STATE/base")
dags=$(environment config.dagGcsPrefix)
[[ $dags == gs://*/dags ]] || fail "$_COMPOSER has no bucket: its dagGcsPrefix is '$dags'" "wait until it runs: gcloud composer environments list"
records=${dags%/dags}/data/menagerie/images

# Labels differ from build to build. What was built from the same content before is what runs already: it stays.
if earlier=$(gcloud storage cat "$records/$content.json" 2>"$STATE/error"); then
  was() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1" <<<"$earlier"; }
  if gcloud artifacts docker images describe "$(was train)" >/dev/null && gcloud artifacts docker images describe "$(was serve)" >/dev/null; then
    train=$(was train) serve=$(was serve)
    echo "nothing in the images changed: those of build $(was build) stay"
  else
    echo "the images of build $(was build) have the same content but were deleted"
    earlier=
  fi
elif ! grep -q "matched no objects" "$STATE/error"; then
  cat "$STATE/error" >&2
  fail "$records cannot be read" "may this build's account read the environment's bucket?"
fi
if [[ -z $earlier ]]; then
  # a git tag may have quotes in it: Python writes the JSON
  python3 -c 'import json, sys; print(json.dumps(dict(word.split("=", 1) for word in sys.argv[1:]), indent=2))' \
    "build=$BUILD" \
    "commit=${COMMIT_SHA:-unknown}" \
    "version=${TAG_NAME:-${SHORT_SHA:-unreleased}}" \
    "content=$content" \
    "base=$base" \
    "torch=${_TORCH:-cuda}" \
    "train=$train" \
    "serve=$serve" >"$STATE/record.json"
  gcloud storage cp "$STATE/record.json" "$records/$content.json"
fi

# Packages: ours are added or changed, those of others in the same environment are left alone.
packages=()
have=$(environment config.softwareConfig.pypiPackages | tr ';' '\n')
while read -r package; do
  name=$(grep -oE '^[A-Za-z0-9._-]+' <<<"$package" | tr '[:upper:]' '[:lower:]')
  grep -qxF "$name=${package:${#name}}" <<<"$have" || packages+=("--update-pypi-package=$package")
done < <(sed -E 's/#.*//; s/[[:space:]]+//g; /^$/d' composer_requirements.txt)
if ((${#packages[@]})); then
  echo "packages change: ${packages[*]#*=}"
  gcloud composer environments update "$_COMPOSER" --location="$_REGION" "${packages[@]}"
else
  echo "composer_requirements.txt is what $_COMPOSER has"
fi

if [[ $(environment config.softwareConfig.envVariables.MENAGERIE_IMAGE) == "$train" &&
  $(environment config.softwareConfig.envVariables.MENAGERIE_SERVE_IMAGE) == "$serve" ]]; then
  echo "$_COMPOSER has these images already"
else
  gcloud composer environments update "$_COMPOSER" --location="$_REGION" \
    --update-env-variables="MENAGERIE_IMAGE=$train,MENAGERIE_SERVE_IMAGE=$serve"
fi
