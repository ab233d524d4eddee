#!/usr/bin/env bash
# Look for known vulnerabilities before anything is pushed (Artifact Analysis, on demand). A critical one that a newer
# package mends ends the build; one that nothing mends yet is reported, since nobody here could do anything about it.
set -euo pipefail
cd "$(dirname "$0")/../.."
source infra/build/names.sh

if [[ ${_SCAN:-yes} == no ]]; then
  echo "_SCAN is no: the images are not scanned"
  exit 0
fi
found=0
for image in "$SERVE" "$TRAIN"; do
  scan=$(gcloud artifacts docker images scan "$image:$BUILD" --location="${_SCAN_LOCATION:-us}" --format='value(response.scan)')
  [[ -n $scan ]] || fail "the scan of $image gave no result" "is the On-Demand Scanning API on, and may this account use it?"
  gcloud artifacts docker images list-vulnerabilities "$scan" \
    --format='value[separator="|"](vulnerability.effectiveSeverity,vulnerability.fixAvailable,vulnerability.shortDescription)' \
    >"$STATE/vulnerabilities"
  echo "$image: $(wc -l <"$STATE/vulnerabilities") known, $(grep -c '^CRITICAL' "$STATE/vulnerabilities" || true) of them critical"
  while IFS='|' read -r severity mended name; do
    [[ $severity == CRITICAL ]] || continue
    if [[ $mended != True ]]; then
      echo "  $name is critical; there is no mended package yet"
    elif [[ " ${_ACCEPTED:-} " == *" $name "* ]]; then
      echo "  $name is critical and accepted (_ACCEPTED)"
    else
      echo "  $name is critical, and a mended package exists" >&2
      found=1
    fi
  done <"$STATE/vulnerabilities"
done
((found == 0)) || fail "critical vulnerabilities: nothing was pushed" \
  "take a newer base (_BASE) or newer packages (make lock UPGRADE=--upgrade), or accept one by name: _ACCEPTED='CVE-… CVE-…'"
