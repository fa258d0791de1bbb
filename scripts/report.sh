#!/usr/bin/env bash
# Makes report/report.pdf: draws every figure of the results in bench/results, and takes every number from there.
#
#     scripts/report.sh              report/report.pdf, and the README's figure
#     scripts/report.sh --draft      target/report/draft.pdf, and which sentences the results do not bear out
#     scripts/report.sh --pages DIR  every page as a picture, too
#     scripts/report.sh --check      nothing but whether it can be made, and whether planted mistakes are refused
#
# It fails with a sentence if a number is not in the results, or a sentence of the text is not true of them or of the
# program's own help, for which the program is built unless PROXYHERD_BIN names one. Needs python3 with venv; Typst,
# with fonts, is installed into target/report/venv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

pins=report/requirements.txt
venv=target/report/venv

if ! command -v python3 > /dev/null; then
    echo "The report needs python3 (Debian: apt-get install python3 python3-venv)." >&2
    exit 1
fi
# The copy of the pins is written last: an installation that was cut short is begun again.
if ! cmp --silent "$pins" "$venv/requirements.txt"; then
    if ! python3 -c "import ensurepip, venv" 2> /dev/null; then
        echo "This Python cannot make environments (Debian: apt-get install python3-venv)." >&2
        exit 1
    fi
    echo "Installing with pip, into $venv: the packages in $pins." >&2
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$pins"
    cp "$pins" "$venv/requirements.txt"
fi
exec "$venv/bin/python" report/make.py "$@"
