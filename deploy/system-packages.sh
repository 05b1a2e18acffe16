#!/usr/bin/env bash
# Makes sure that the Debian packages named by their commands are here: `deploy/system-packages.sh venv|demo|test`.
# Installs what is missing as root or with passwordless sudo; otherwise says what to install and exits 1.
# Servers installed by this script are not left running: the demo and the tests start their own.
set -euo pipefail

purpose=${1:-}
case "$purpose" in
  venv) needed=(ensurepip:python3-venv) ;;
  demo) needed=(prometheus:prometheus promtool:prometheus prometheus-alertmanager:prometheus-alertmanager) ;;
  test) needed=(prometheus:prometheus promtool:prometheus prometheus-alertmanager:prometheus-alertmanager
                amtool:prometheus-alertmanager prometheus-node-exporter:prometheus-node-exporter
                gcc:gcc openssl:openssl postgres:postgresql) ;;
  *) echo "usage: $0 venv|demo|test" >&2; exit 2 ;;
esac

have() {
  [ "$1" = ensurepip ] && { python3 -c 'import ensurepip' 2>/dev/null; return; }
  command -v "$1" >/dev/null 2>&1 && return
  case "$1" in
    prometheus-alertmanager) command -v alertmanager >/dev/null 2>&1 ;;
    postgres) compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ;; # Debian keeps the server off PATH
    *) return 1 ;;
  esac
}

missing=()
for pair in "${needed[@]}"; do
  have "${pair%%:*}" || missing+=("${pair##*:}")
done
[ ${#missing[@]} -eq 0 ] && exit 0
mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)

advise() {
  echo "Missing: ${missing[*]}" >&2
  echo "Install them: $1" >&2
  [ "$purpose" = demo ] && echo "Or use containers instead: deploy/compose/make-secrets.sh && docker compose --profile demo up" >&2
  exit 1
}

command -v apt-get >/dev/null 2>&1 || advise "Prometheus and Alertmanager from your system's packages, on PATH"
if [ "$(id -u)" -eq 0 ]; then as_root=()
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then as_root=(sudo -n)
else advise "sudo apt-get install ${missing[*]}"
fi

echo "Installing ${missing[*]} from the system's packages"
# Debian starts a service as soon as its package is installed; RUNLEVEL=1 tells invoke-rc.d not to, and where
# systemd runs the unit is disabled, so that ports 9090, 9093 and 5432 stay free for whoever asks for them.
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
if [ -d /run/systemd/system ]; then
  for unit in prometheus prometheus-alertmanager prometheus-node-exporter postgresql; do
    case " ${missing[*]} " in *" $unit "*) "${as_root[@]}" systemctl disable --now --quiet "$unit" || true ;; esac
  done
fi
