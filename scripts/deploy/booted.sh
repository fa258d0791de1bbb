#!/usr/bin/env bash
# Installs the Debian package on a host with systemd, which is this machine's files under a layer that is thrown away
# and a systemd in namespaces of its own, and does there what an operator does: starts a server, looks at it, has it
# read its files again, kills it, stops it, upgrades and removes the package.
#
#     scripts/deploy/booted.sh PACKAGE.deb       needs root; some ten seconds
#
# Exit code 77: this machine does not permit it, which is said.
set -euo pipefail

die() {
    echo "${0##*/}: $*" >&2
    exit 1
}

UNIT=proxyherd@west-1
# What the unit waits for; everything else of this machine stays away.
UNITS=(
    {sysinit,basic,multi-user,network-online,nss-lookup,time-sync,sockets,shutdown,umount,final}.target
    dbus.socket dbus.service systemd-journald.socket systemd-journald-dev-log.socket systemd-journald.service
)
NAMESPACES=(--mount --pid --fork --cgroup --net --ipc --uts)
# How long all of it may take. Half of it passes until a server that was killed is started again.
WAIT_SECONDS_MAX=60

skip() {
    echo "booted.sh: skipped: $1"
    exit 77
}

# The time is bound by main.
eventually() {
    set +x
    until "$@"; do sleep 0.2; done
    set -x
}

was_started_again() {
    [ "$(systemctl show --property NRestarts --value "$UNIT")" = 1 ] && systemctl --quiet is-active "$UNIT"
}

# What systemd runs, as an operator: each command is printed, and has to succeed.
operate() {
    trap 'systemctl --no-pager status "$UNIT"; journalctl --no-pager --unit "$UNIT"; echo "FAILED: $BASH_COMMAND"' ERR
    set -eE -o functrace
    # In containers it keeps packages from starting and stopping what they bring.
    rm -f /usr/sbin/policy-rc.d
    set -x
    dpkg --install /run/try/proxyherd.deb
    cp /run/try/herd.toml /etc/proxyherd/herd.toml
    (umask 077 && head -c 32 /dev/urandom | sha256sum | cut -c 1-64 >/etc/proxyherd/secret)
    cp /usr/lib/systemd/system/proxyherd@.service /run/try/units
    systemctl daemon-reload
    systemctl start "$UNIT"
    [[ $(systemctl show --property StatusText "$UNIT") = "StatusText=clients known: 0, "* ]]
    proxyherd client 127.0.0.1:12550 iamat kiwi +34.06-118.44 1
    # What it may not have, and what it needs all the same.
    local pid log=/var/log/private/proxyherd/west-1/west-1.log
    pid=$(systemctl show --property MainPID --value "$UNIT")
    grep -E '^(Uid|CapEff|Seccomp|NoNewPrivs):' "/proc/$pid/status"
    grep -q '^CapEff:	0000000000000000$' "/proc/$pid/status"
    [ "$(stat --format %a:%U /var/lib/private/proxyherd/west-1/admin.sock)" = 600:proxyherd ]
    [ "$(stat --format %a /run/credentials/$UNIT.service/secret)" = 400 ]
    systemctl reload "$UNIT"
    eventually grep 'SIGHUP: ' "$log"
    proxyherd forget west-1 nothing --data-dir /var/lib/proxyherd/west-1 || [ $? -eq 1 ]
    systemctl kill --signal KILL "$UNIT"
    eventually was_started_again
    proxyherd client 127.0.0.1:12550 whatsat kiwi 1 1 | head -n 1
    systemctl stop "$UNIT"
    [ "$(systemctl show --property Result --value "$UNIT")" = success ]
    # Nothing was refused to it that it wanted, and nothing warned of.
    awk '/ (WARN|ERROR) / && !/link to / { bad = 1; print } END { exit bad }' "$log"
    systemctl start "$UNIT"
    # An upgrade starts it again.
    pid=$(systemctl show --property MainPID --value "$UNIT")
    dpkg --install /run/try/proxyherd.deb
    systemctl is-active "$UNIT"
    [ "$(systemctl show --property MainPID --value "$UNIT")" != "$pid" ]
    dpkg --remove proxyherd
    [ "$(systemctl show --property ActiveState --value "$UNIT")" = inactive ]
    dpkg --purge proxyherd
    [ -d /var/lib/private/proxyherd/west-1 ] && [ ! -e "$log" ] && [ ! -e /etc/default/proxyherd ]
    set +x
    echo "all is done"
}

# In the namespaces: makes the root, and becomes its systemd.
boot() {
    local layers=$1/layers shared=$1/shared new=$1/layers/root
    mount -t tmpfs -o size=512m tmpfs "$layers"
    mkdir "$layers"/{upper,work,root}
    mount -t overlay overlay -o "lowerdir=/,upperdir=$layers/upper,workdir=$layers/work" "$new"
    mount -t proc proc "$new/proc"
    mount -t sysfs sysfs "$new/sys"
    mount -t cgroup2 cgroup2 "$new/sys/fs/cgroup"
    mount -t tmpfs tmpfs "$new/run"
    mount -t tmpfs -o mode=1777 tmpfs "$new/tmp"
    mount --rbind /dev "$new/dev"
    mkdir -p "$new"/{old,run/try,run/systemd/system}
    mount --bind "$shared" "$new/run/try"
    ip link set lo up
    echo 0123456789abcdef0123456789abcdef >"$new/etc/machine-id"
    cd "$new"
    pivot_root . old
    # What systemd mounts for a service has to be seen outside of it.
    mount --make-rshared /
    exec env -i container=try SYSTEMD_UNIT_PATH=/run/try/units PATH=/usr/bin:/usr/sbin:/bin:/sbin \
        /lib/systemd/systemd --system --unit=try.target --show-status=no
}

# share DEB: what is needed inside.
share() {
    local unit
    mkdir -p "$shared/units"
    cp "$1" "$shared/proxyherd.deb"
    cp "${BASH_SOURCE[0]}" "$shared/operate"
    printf 'links = [["west-1", "east-1"]]\n' >"$shared/herd.toml"
    printf '[servers.%s]\nclient = "127.0.0.1:%s"\npeer = "127.0.0.1:%s"\n' \
        west-1 12550 12650 east-1 12551 12651 >>"$shared/herd.toml"
    for unit in "${UNITS[@]}"; do cp "/usr/lib/systemd/system/$unit" "$shared/units"; done
    printf '[Unit]\nRequires=dbus.socket systemd-journald.socket\nWants=try.service\n' >"$shared/units/try.target"
    printf '[Service]\nType=oneshot\nStandardOutput=file:/run/try/out\nStandardError=inherit\nExecStart=%s\n' \
        '/bin/bash /run/try/operate --operate' >"$shared/units/try.service"
}

main() {
    local tool deadline=$((SECONDS + WAIT_SECONDS_MAX))
    for tool in unshare:util-linux ip:iproute2 dpkg:dpkg dbus-daemon:dbus; do
        command -v "${tool%:*}" >/dev/null || skip "this needs ${tool%:*} (Debian: apt-get install ${tool#*:})"
    done
    [ -x /lib/systemd/systemd ] || skip "this needs systemd (Debian: apt-get install systemd)"
    [ "$(id -u)" -eq 0 ] || skip "namespaces need root"
    unshare "${NAMESPACES[@]}" true 2>/dev/null || skip "this machine permits no namespaces"
    scratch=$(mktemp -d)
    shared=$scratch/shared
    mkdir "$scratch/layers"
    share "$1"
    unshare "${NAMESPACES[@]}" --kill-child "$0" --boot "$scratch" </dev/null >"$scratch/said" 2>&1 &
    machine=$!
    disown "$machine"
    trap 'kill -KILL "$machine" 2>/dev/null; rm -rf "$scratch"' EXIT
    until grep -qE '^(all is done$|FAILED: )' "$shared/out" 2>/dev/null; do
        [ "$SECONDS" -lt "$deadline" ] || break
        # Some machines permit namespaces and no systemd in them.
        kill -0 "$machine" 2>/dev/null || skip "no systemd starts here: $(tail -n 1 "$scratch/said")"
        sleep 0.2
    done
    grep -q '^all is done$' "$shared/out" || die "$(cat "$shared/out")"
    [ -z "${PROXYHERD_SHOW:-}" ] || cat "$shared/out"
    echo "booted.sh: a server ran under systemd as the package has it, in $SECONDS s"
}

case $1 in
    --boot) boot "$2" ;;
    --operate) operate ;;
    *) main "$1" ;;
esac
