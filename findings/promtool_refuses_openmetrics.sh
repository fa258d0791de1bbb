#!/usr/bin/env bash
# What one would expect: `promtool check metrics` checks what Prometheus scrapes, so it takes OpenMetrics, which
# Prometheus asks for first.
# What happens: it reads the older text format alone. A counter of OpenMetrics, whose help belongs to the family without
# `_total`, has "no help text", and the exit code is 3. The same counter in the older format passes. Prometheus itself
# scrapes both.
# Whom it hurts: tests of an exporter that check its answer with promtool must ask for the older format, and need a real
# Prometheus for the other one.
#
# Needs Linux, and apt-get as root if promtool is not there. Takes some seconds.
set -euo pipefail

if ! command -v promtool >/dev/null; then
    [ "$(id -u)" -eq 0 ] || { echo "promtool is missing, and only root may install it" >&2; exit 2; }
    echo "installing prometheus"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends prometheus
    } >/dev/null
fi
promtool --version 2>&1 | sed -n 1p

# check TEXT: says what promtool says of it, and its exit code.
check() {
    local code=0
    printf '%s\n' "$@" | promtool check metrics 2>&1 || code=$?
    echo "exit code $code"
}
openmetrics=$(check '# HELP reports Reports taken.' '# TYPE reports counter' 'reports_total 7' '# EOF')
text=$(check '# HELP reports_total Reports taken.' '# TYPE reports_total counter' 'reports_total 7')
echo "OpenMetrics: $openmetrics"
echo "older text: $text"
[ "$openmetrics" = $'reports_total no help text\nexit code 3' ] && [ "$text" = "exit code 0" ]
