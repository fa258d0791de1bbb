#!/usr/bin/env bash
# What one would expect: a converter writes one form, whether it is called as a command or as a library.
# What happens: the command of osmtogeojson spreads an element's tags among the properties and writes the kind and the
# number of the element as one id (`"name": …`, `"id": "node/1"`). Its library leaves them in `properties.tags`, with
# `type` and a number as `id`: a reader that looks for `properties.name` finds no name in any place.
# Whom it hurts: readers of files of places. Both forms are about, and nothing in a file says which one it is.
#
# Needs Node.js with npm. Takes some ten seconds.
set -euo pipefail

command -v npm >/dev/null || { echo "npm is missing: install Node.js" >&2; exit 2; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund osmtogeojson@2.2.12 >/dev/null
cat >in.json <<'JSON'
{"version": 0.6, "elements": [{"type": "node", "id": 1, "lat": 1, "lon": 2, "tags": {"name": "Kiosk", "shop": "yes"}}]}
JSON
node_modules/.bin/osmtogeojson -f json in.json >command.json
node >library.json -e '
    const convert = require("osmtogeojson");
    console.log(JSON.stringify(convert(JSON.parse(require("fs").readFileSync("in.json")))));
'
node -e '
    const read = (file) => JSON.parse(require("fs").readFileSync(file)).features[0].properties;
    const [command, library] = ["command.json", "library.json"].map(read);
    console.log("osmtogeojson", require("osmtogeojson/package.json").version);
    console.log("command:", JSON.stringify(command));
    console.log("library:", JSON.stringify(library));
    const isFlat = command.name === "Kiosk" && command.id === "node/1" && command.tags === undefined;
    const isNested = library.name === undefined && library.tags.name === "Kiosk" && library.id === 1;
    process.exit(isFlat && isNested ? 0 : 1);
'
