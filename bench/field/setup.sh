#!/usr/bin/env bash
# Installs what the variants of other languages need into target/field, and says in a sentence what is missing.
#
#     bench/field/setup.sh
#
# Run it as often as you like. It fails only if something is there and cannot be installed; what is missing is
# skipped here, and by everything that reads variants.toml.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

python_min="(3, 11)"
node_min=18.14
venv=target/field/venv
pins=bench/field/requirements.txt

python_herds() {
    local python
    if ! python=$(command -v python3); then
        echo "twisted, asyncio: skipped, python3 is missing (Debian: apt-get install python3 python3-venv)."
        return
    fi
    if ! "$python" -c "import sys; sys.exit(sys.version_info < $python_min)"; then
        echo "twisted, asyncio: skipped, $("$python" --version) is older than 3.11."
        return
    fi
    if ! "$python" -c "import ensurepip, venv" 2> /dev/null; then
        echo "twisted, asyncio: skipped, this Python cannot make environments (Debian: apt-get install python3-venv)."
        return
    fi
    # The copy of the pins is written last: an installation that was cut short is begun again.
    if ! cmp --silent "$pins" "$venv/requirements.txt" || ! "$venv/bin/python" -c "import twisted" 2> /dev/null; then
        echo "Installing with pip, into $venv: the packages in $pins."
        rm -rf "$venv"
        "$python" -m venv "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$pins"
        cp "$pins" "$venv/requirements.txt"
    fi
    local version="import platform, twisted; print(platform.python_version(), 'with Twisted', twisted.__version__)"
    echo "twisted, asyncio: ready, Python $("$venv/bin/python" -c "$version")."
}

node_herd() {
    if ! command -v node > /dev/null; then
        echo "node: skipped, node is missing (version $node_min or later; Debian: apt-get install nodejs)."
    elif ! node -e 'process.exit(require("node:buffer").isUtf8 ? 0 : 1)'; then
        echo "node: skipped, node $(node --version) is older than $node_min."
    else
        echo "node: ready, $(node --version)."
    fi
}

python_herds
node_herd
