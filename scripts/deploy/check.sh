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
    if [ -n "${PROXYHERD_BIN:-}" ]; then
        check valid_herd herd.toml 's/^client = /clint = /' 's/:12650/:99999/' \
            's/"west-1", "west-2"/"west-1", "west-3"/'
        if [ -x "$tools/bin/python" ]; then
            check has_its_servers compose.yaml 's/^  east-1:/  east-2:/' 's/:12650"/:99999"/'
            check has_its_servers kubernetes.yaml 's/replicas: 3/replicas: 4/' 's/:12650"/:99999"/' \
                's/^  serviceName: .*/  serviceName: herd/'
        fi
    else
        echo "skipped: to check the herd files needs PROXYHERD_BIN"
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

valid_herd() { "$PROXYHERD_BIN" herd --check "$1"; }

# has_its_servers FILE: the herd file in it is valid, and its servers are those that are started, each found where the
# names of services say.
has_its_servers() {
    local herd=$scratch/herd.toml
    "$tools/bin/python" - "$1" "$herd" >"$scratch/started" <<'END' || return
import sys, yaml

documents = [one for one in yaml.safe_load_all(open(sys.argv[1])) if one]
if len(documents) == 1:
    herd = documents[0]["configs"]["herd"]["content"]
    started = {service["command"][0]: name for name, service in documents[0]["services"].items()}
else:
    kinds = {document["kind"]: document for document in documents}
    herd = kinds["ConfigMap"]["data"]["herd.toml"]
    stateful = kinds["StatefulSet"]
    pods = [f"{stateful['metadata']['name']}-{n}" for n in range(stateful["spec"]["replicas"])]
    started = {pod: f"{pod}.{stateful['spec']['serviceName']}" for pod in pods}
open(sys.argv[2], "w").write(herd)
for server, host in sorted(started.items()):
    print(server, f"{host}:12550", f"{host}:12650")
END
    valid_herd "$herd" && "$PROXYHERD_BIN" herd --list --herd "$herd" | sort | diff - "$scratch/started"
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
