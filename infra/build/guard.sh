#!/usr/bin/env bash
# A pull request's code is not trusted with a registry or a Composer environment: it has a build of its own.
set -euo pipefail
cd "$(dirname "$0")/../.."
source infra/build/names.sh

if [[ -n ${_PR_NUMBER:-} ]]; then
  fail "this is pull request $_PR_NUMBER, and cloudbuild.yaml publishes what it builds" \
    "let the trigger for pull requests use infra/build/pullrequest.yaml, which tests and builds only"
fi
for name in _REGION _REPOSITORY; do
  [[ -n ${!name:-} ]] || fail "$name is empty" "set it in the trigger, or with --substitutions=$name=…"
done
