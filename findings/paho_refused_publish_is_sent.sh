#!/usr/bin/env bash
# What one would expect: paho-mqtt's `publish` that returns MQTT_ERR_NO_CONN (4, "not currently connected"), and whose
# `wait_for_publish` raises RuntimeError "Message publish failed", has not published, and will not.
# What happens: with QoS 0 that is so. With QoS 1 and 2 the message was kept, and leaves with the next connection. Its
# result goes on saying that it failed: `is_published` raises after the broker has acknowledged it.
# Whom it hurts: trackers that publish again what has "failed" send each point twice and can never learn that it came;
# those who believe the error and report from another server let an old point arrive late, behind newer ones.
#
# Needs Linux, Python 3 with venv and a package index, and apt-get as root if mosquitto is not there.
set -euo pipefail

if ! command -v mosquitto >/dev/null; then
    [ "$(id -u)" -eq 0 ] || { echo "mosquitto is missing, and only root may install it" >&2; exit 2; }
    echo "installing mosquitto"
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends mosquitto
    } >/dev/null
fi
folder=$(mktemp -d)
trap 'kill ${broker:-} 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check paho-mqtt==2.1.0

cat >"$folder/ask.py" <<'PYTHON'
import importlib.metadata, os, queue, sys
import paho.mqtt.client as mqtt

print("paho-mqtt", importlib.metadata.version("paho-mqtt"))
where = os.environ["WHERE"]
arrived, acknowledged, subscribed = queue.Queue(), queue.Queue(), queue.Queue()
phone = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="phone", transport="unix")
phone.on_publish = lambda client, data, mid, reason, properties: acknowledged.put(mid)
results = {}
for qos in (0, 1):
    results[qos] = phone.publish("owntracks/jane/phone", f"point with QoS {qos}", qos=qos)
    try:
        results[qos].wait_for_publish(1)
        said = "no error"
    except RuntimeError as error:
        said = str(error)
    print(f"QoS {qos}, not connected: code {int(results[qos].rc)}, {said}")

watcher = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="watcher", transport="unix")
watcher.on_message = lambda client, data, message: arrived.put(message.payload.decode())
watcher.on_subscribe = lambda *rest: subscribed.put(True)
watcher.connect(where)
watcher.loop_start()
watcher.subscribe("owntracks/#", qos=1)
subscribed.get(timeout=20)
phone.connect(where)
phone.loop_start()
came = arrived.get(timeout=20)
mid = acknowledged.get(timeout=20)
print("connected: arrived", repr(came), "acknowledged", mid == results[1].mid, "others", arrived.qsize())
try:
    after = results[1].is_published()
except RuntimeError as error:
    after = str(error)
print("is_published after the acknowledgement:", after)
sys.exit(not (came == "point with QoS 1" and mid == results[1].mid and arrived.empty()
              and [int(r.rc) for r in results.values()] == [4, 4] and str(after).startswith("Message publish failed")))
PYTHON

# A socket in a folder of our own instead of a port.
printf 'listener 0 %s/socket\nallow_anonymous true\nuser %s\n' "$folder" "$(id -un)" >"$folder/broker.conf"
{ mosquitto -h || true; } | sed -n 1p
mosquitto -c "$folder/broker.conf" >"$folder/log" 2>&1 &
broker=$!
while [ ! -S "$folder/socket" ]; do kill -0 "$broker"; sleep 0.05; done
WHERE=$folder/socket timeout 100 "$folder/venv/bin/python" "$folder/ask.py"
