#!/usr/bin/env bash
# Checks the files of this folder without a server, a container or a cluster: the unit, compose.yaml, kubernetes.yaml
# and the scripts of the package. Of each check it also shows that it finds errors, which are planted in a copy.
#
#     scripts/deploy/check.sh
#
# What this machine lacks is said and skipped.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../records.sh"
cd "$root/scripts/deploy"

# Those that were tried. Their schemas are inside of them, so no network is asked when they check.
TOOLS=(check-jsonschema==0.39.0 kubernetes-validate==1.37.0)
KUBERNETES=1.34
# In tenths, as systemd counts: 1.5 of 10.
EXPOSURE_MAX=15

tools=$root/target/deploy/tools
failed=()
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

main() {
    if need_tool systemd-analyze systemd; then
        check understood 'proxyherd@.service' \
            's/^KillMode=mixed/KillMode=gentle/' 's/^Restart=/Restrat=/' 's/^ExecStart=.*/ExecStart=nothing/' \
            's/^Type=notify/Type=notifies/' 's/^TasksMax=.*/TasksMax=many/'
        check confined 'proxyherd@.service' \
            '/^DynamicUser=/d; /^Protect/d' '/^SystemCallFilter=/d; /^CapabilityBoundingSet=/d'
    fi
    if install_tools; then
        check valid_compose compose.yaml 's/ports:/portz:/' 's/stop_grace_period: .*/stop_grace_period: [1]/'
        check valid_kubernetes kubernetes.yaml 's/replicas:/replicaz:/' 's/maxUnavailable: 1/maxUnavailable: []/' \
            's/podManagementPolicy: .*/podManagementPolicy: 3/' 's/^kind: StatefulSet/kind: StatefulSad/'
    fi
    if need_tool shellcheck shellcheck; then
        local script
        for script in debian/postinst debian/prerm debian/postrm; do
            check valid_shell "$script" 's/^set -e$/if true; then/'
        done
    fi
    [ ${#failed[@]} -eq 0 ] || die "FAILED: ${failed[*]}"
}

# check HOW FILE PLANTED...: the file passes, and a copy of it with any of these changes, commands of sed, does not.
check() {
    local how=$1 file=$2 change copy=$scratch/${2##*/}
    shift 2
    cp "$file" "$copy"
    "$how" "$copy" >"$scratch/said" 2>&1 || fail "$file, which is not $how: $(cat "$scratch/said")"
    for change in "$@"; do
        sed "$change" "$file" >"$copy"
        ! cmp --silent "$file" "$copy" || fail "$file: the error \`$change\` is planted nowhere"
        ! "$how" "$copy" >"$scratch/said" 2>&1 || fail "$file is $how although \`$change\` is planted"
    done
    echo "$file: $how, and $# planted errors are found"
}

# systemd-analyze ends with 0 although it ignores what it does not understand, so what it says is what counts. The
# program need not be installed here.
understood() {
    local said
    sed -i 's|^ExecStart=/usr/bin/proxyherd |ExecStart=/bin/true |' "$1"
    said=$(systemd-analyze verify --man=no "$1" 2>&1) && [ -z "$said" ] && return
    echo "$said"
    return 1
}

confined() { systemd-analyze security --offline=true --no-pager --threshold="$EXPOSURE_MAX" "$1"; }

valid_compose() { "$tools/bin/check-jsonschema" --builtin-schema vendor.compose-spec "$1"; }

# A kind that it does not know is a warning to it.
valid_kubernetes() {
    local said
    said=$("$tools/bin/kubernetes-validate" --strict -k "$KUBERNETES" "$1" 2>&1) && [[ $said != *WARN* ]] && return
    echo "$said"
    return 1
}

valid_shell() { shellcheck --shell=sh "$1"; }

# need_tool PROGRAM PACKAGE
need_tool() {
    command -v "$1" >/dev/null && return
    echo "skipped: this needs $1 (Debian: apt-get install $2)"
    return 1
}

install_tools() {
    if [ "$(cat "$tools/installed" 2>/dev/null)" != "${TOOLS[*]}" ]; then
        rm -rf "$tools"
        if ! { python3 -m venv "$tools" && "$tools/bin/pip" install --quiet "${TOOLS[@]}"; } >/dev/null 2>&1; then
            echo "skipped: this needs python3 with venv, and pip to install ${TOOLS[*]}"
            return 1
        fi
        echo "${TOOLS[*]}" >"$tools/installed"
    fi
}

fail() {
    echo "FAILED: $1"
    failed+=("${1%%[ :,]*}")
}

main
echo "check.sh: the files of scripts/deploy are right, in $SECONDS s"
