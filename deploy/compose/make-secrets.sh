#!/bin/sh
# Makes the secrets that docker-compose.yml mounts: `deploy/compose/make-secrets.sh [FOLDER]`. What exists is kept.
#
# One token per role of the recommender (viewer: Prometheus, alert_source: Alertmanager, approver and admin: people)
# and Grafana's admin password. The recommender gets SHA-256 sums only.
set -eu

folder=${1:-$(dirname "$0")/secrets}
umask 077
mkdir -p "$folder"
# Containers run as other users and read single mounted files; the folder keeps other users of this machine out.
chmod 700 "$folder"

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

for name in viewer alert_source approver admin grafana_admin; do
  [ -e "$folder/$name" ] || random >"$folder/$name"
  chmod 444 "$folder/$name"
done

for role in viewer alert_source approver admin; do
  sum=$(sha256sum "$folder/$role" | cut -d ' ' -f 1)
  printf -- '- {name: compose-%s, role: %s, token_sha256: %s}\n' "$role" "$role" "$sum"
done >"$folder/tokens.yml.new"
chmod 444 "$folder/tokens.yml.new"
mv -f "$folder/tokens.yml.new" "$folder/tokens.yml"

echo "Secrets are in $folder; approve plans with the token in $folder/approver."
