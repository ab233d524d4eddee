#!/usr/bin/env bash
# Have Artifact Analysis write a bill of materials (SPDX) of each image beside it; it must have analysed the push first.
set -euo pipefail
cd "$(dirname "$0")/../.."
source infra/build/names.sh

if [[ ${_SCAN:-yes} == no ]]; then
  echo "_SCAN is no: no bill of materials is written"
  exit 0
fi
looks=${LOOKS:-20}
for image in train serve; do
  ref=$(<"$STATE/$image")
  for ((look = 1; look <= looks; look++)); do
    if gcloud artifacts sbom export --uri="$ref"; then continue 2; fi
    echo "not analysed yet (look $look of $looks)"
    sleep "${PAUSE:-30}"
  done
  fail "no bill of materials of $ref" "is the Container Scanning API on (infra: scan_images), and may this account use it?"
done
