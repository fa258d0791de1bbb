#!/usr/bin/env bash
# Makes the outline of the land that the map page draws, src/frontend/page/land.bin. It is in the repository
# already: this says how it was made, and makes the same bytes again.
#
# The data is that of Natural Earth, 1:50 million, which is in the public domain (https://www.naturalearthdata.com).
# It comes in the package world-atlas, whose own licence, ISC, is about the programs that made it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/records.sh"

PACKAGE=world-atlas@2.0.2
SHA256=619477ff690c086885e45cb91707d783805561bd75ae8e437b7d4694b0204e0f

need npm "it comes with Node (Debian: apt-get install npm)"
need python3 "Debian: apt-get install python3"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
(cd "$scratch" && npm pack --silent "$PACKAGE" >/dev/null && tar -xzf world-atlas-*.tgz)
echo "$SHA256  $scratch/package/land-50m.json" | sha256sum --check --quiet ||
    die "$PACKAGE is not what it was: land-50m.json has another SHA-256"
python3 "$root/scripts/land.py" "$scratch/package/land-50m.json" "$root/src/frontend/page/land.bin"
