#!/usr/bin/env bash
# Wait until Airflow has parsed what was synced, without import errors.
set -euo pipefail
cd "$(dirname "$0")/../.."
source infra/build/names.sh
releases || exit 0

airflow() { # its exit status is the Airflow command's; what gcloud says itself goes to standard error
  gcloud composer environments run "$_COMPOSER" --location="$_REGION" "$@"
}

looks=${LOOKS:-30}
# Composer copies its bucket to the DAG processor a while after the sync: what was parsed before that may be old
fresh=$(($(<"$STATE/synced") + ${SETTLE:-120}))
for ((look = 1; look <= looks; look++)); do
  status=0
  errors=$(airflow dags list-import-errors -- --output=json) || status=$?
  seen=()
  for file in dags/*.py; do
    dag=$(basename "$file" .py)
    # not there yet is no failure; whatever else keeps Airflow from answering shows at the end
    seen+=("$(airflow dags details -- "$dag" --output=json || true)")
  done
  verdict=0
  python3 infra/build/parsed.py --fresh "$fresh" --status "$status" --errors "$errors" --dags "${seen[@]}" || verdict=$?
  case $verdict in
    0) exit 0 ;;
    75) echo "look $look of $looks" ;;
    *) fail "Airflow cannot load what was synced (see above)" "mend it and push again, or push a revert" ;;
  esac
  sleep "${PAUSE:-30}"
done
fail "Airflow has not parsed the DAGs in time" "look at the DAG processor's log: gcloud composer environments describe $_COMPOSER --location=$_REGION"
