#!/usr/bin/env bash
# What one would expect: a subscriber of MQTT gets the retained message of every topic that its filter matches, as
# section 3.3.1.3 of MQTT 3.1.1 demands. OwnTracks and Home Assistant learn last positions from `owntracks/+/+` so.
# What happens: RabbitMQ's plugin delivers the retained message to a subscription that names the topic exactly, and none
# to one with `+` or `#`. The subscription is granted, and later publishes come.
# Whom it hurts: those who open a map see no phone until it has moved. It looks like phones that do not report, and is
# gone as soon as one tests with the exact topic.
#
# Needs Linux, and root (the broker runs as its own user). Installs rabbitmq-server with apt-get if it is not there.
set -euo pipefail

[ "$(id -u)" -eq 0 ] || { echo "only root may start the broker as its own user" >&2; exit 2; }
if ! command -v rabbitmq-server >/dev/null || ! command -v mosquitto_sub >/dev/null; then
    echo "installing rabbitmq-server and mosquitto-clients"
    # A broker that starts with its installation would keep its ports: this policy lets no service start.
    policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] && policy= || install -m 755 <(printf '#!/bin/sh\nexit 101\n') "$policy"
    trap '[ -z "$policy" ] || rm -f "$policy"' EXIT
    { apt-get update &&
        DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends rabbitmq-server mosquitto-clients
    } >/dev/null
    [ -z "$policy" ] || rm -f "$policy"
fi
dpkg-query --show --showformat 'rabbitmq-server ${Version}\n' rabbitmq-server

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
folder=$(mktemp -d)
mqtt=$(free_port)
names=$(free_port)
end() {
    [ ! -s "$folder/pid" ] || kill "$(cat "$folder/pid")" 2>/dev/null || true
    wait "${broker:-}" 2>/dev/null || true
    ERL_EPMD_PORT=$names epmd -kill >/dev/null 2>&1 || true
    rm -rf "$folder"
}
trap end EXIT
cat >"$folder/broker.conf" <<CONF
listeners.tcp = none
mqtt.listeners.tcp.1 = 127.0.0.1:$mqtt
mqtt.allow_anonymous = true
mqtt.default_user = guest
mqtt.default_pass = guest
CONF
echo '[rabbitmq_mqtt].' >"$folder/plugins"
chown -R rabbitmq "$folder"
env HOME="$folder" RABBITMQ_NODENAME=finding@localhost RABBITMQ_MNESIA_BASE="$folder/data" \
    RABBITMQ_LOG_BASE="$folder/log" RABBITMQ_CONFIG_FILE="$folder/broker.conf" RABBITMQ_PID_FILE="$folder/pid" \
    RABBITMQ_ENABLED_PLUGINS_FILE="$folder/plugins" ERL_EPMD_PORT="$names" ERL_EPMD_ADDRESS=127.0.0.1 \
    RABBITMQ_DIST_PORT="$(free_port)" \
    setpriv --reuid rabbitmq --regid rabbitmq --clear-groups /usr/lib/rabbitmq/bin/rabbitmq-server \
    >"$folder/out" 2>&1 &
broker=$!
until (exec 3<>"/dev/tcp/127.0.0.1/$mqtt") 2>/dev/null; do
    kill -0 "$broker" || { cat "$folder/out" "$folder"/log/*.log | tail -20; exit 1; }
    sleep 0.3
done

mosquitto_pub -h 127.0.0.1 -p "$mqtt" -V 311 -q 1 -r -t owntracks/jane/phone -m 'last position'
# What comes to a filter within five seconds, with whether it was retained.
seen() { mosquitto_sub -h 127.0.0.1 -p "$mqtt" -V 311 -W 5 -t "$1" -F '%t %p, retained %r' 2>/dev/null || true; }
for filter in owntracks/jane/phone 'owntracks/+/+' 'owntracks/#'; do
    came=$(seen "$filter")
    echo "$filter: ${came:-nothing}"
    case $filter in
        *phone) [ "$came" = "owntracks/jane/phone last position, retained 1" ] ;;
        *) [ -z "$came" ] ;;
    esac
done
# The same filter does get what is published while it is there.
mosquitto_sub -h 127.0.0.1 -p "$mqtt" -V 311 -W 20 -C 1 -t 'owntracks/+/+' -F '%p' >"$folder/later" &
subscriber=$!
while kill -0 "$subscriber" 2>/dev/null; do
    mosquitto_pub -h 127.0.0.1 -p "$mqtt" -V 311 -q 1 -t owntracks/jane/phone -m 'next position'
    sleep 0.3
done
echo "owntracks/+/+, later: $(cat "$folder/later")"
[ "$(cat "$folder/later")" = "next position" ]
