#!/usr/bin/env bash
# Put plugins/ and dags/ into the environment's bucket, and remove there what was removed here. Only names of ours are
# touched: the bucket may hold the DAGs of others, and Composer's own airflow_monitoring.py.
set -euo pipefail
cd "$(dirname "$0")/../.."
source infra/build/names.sh
releases || exit 0

# What is ours, as a Python regular expression; the rest is excluded. (No leading ^ and no comma: gcloud reads those.)
declare -A ours=([plugins]='menagerie|[.]airflowignore$' [dags]='animals_|menagerie_')
for folder in plugins dags; do
  strange=$(find "$folder" -mindepth 1 -maxdepth 1 ! -name __pycache__ -printf '%f\n' | grep -vE "^(${ours[$folder]})" || true)
  [[ -z $strange ]] || fail "$folder/$strange would not reach Composer" "give it a name beginning with: ${ours[$folder]}"
done

bucket=$(environment config.dagGcsPrefix)
bucket=${bucket%/dags}
for folder in plugins dags; do # the contract first: a DAG must never meet an older one
  gcloud storage rsync "$folder" "$bucket/$folder" --recursive --checksums-only --delete-unmatched-destination-objects \
    --exclude="(?!${ours[$folder]}).*|(.*/)?__pycache__/.*|.*[.]pyc$"
done
date +%s >"$STATE/synced"
