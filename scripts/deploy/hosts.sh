#!/usr/bin/env bash
# Five hosts, each a network namespace with a hosts file of its own and the folders of the package, and a herd on them
# while clients report all the time: a host changes its address, one is drained and replaced by an empty one, the secret
# is rolled, and the herd grows. No report that was acknowledged may be missing at the end, and all servers must agree.
#
#     scripts/deploy/hosts.sh       needs root; half a minute after building
#
# Everything is in namespaces of its own and ends with this script, whatever ends it. PROXYHERD_BIN names a program to
# run instead of building it. Exit code 77: this machine does not permit it, which is said.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../records.sh"

# They are servers and hosts of these names; the last one joins later.
HOSTS=(west-1 west-2 east-1 east-2 south-1)
CLIENTS=50
# Whose the servers are: no user of this machine.
USER_ID=65532
# How long anything may take that is waited for: a server to answer, and all of them to agree.
WAIT_SECONDS_MAX=60

main() {
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    chmod 711 "$scratch"
    # Where it was built, others than its owner may have no way in.
    cp "$bin" "$scratch/proxyherd"
    bin=$scratch/proxyherd
    for host in "${HOSTS[@]}" phones; do add_host "$host"; done
    members=("${HOSTS[@]:0:4}")
    echo "hosts.sh: a herd of ${#members[@]} on ${#HOSTS[@]} hosts"
    write_herd
    for host in "${members[@]}"; do start "$host"; done
    for host in "${members[@]}"; do await "$host"; done
    : >"$scratch/replies"
    report_all_the_time &
    load=$!
    agree "at the beginning"

    move west-2 40
    agree "after west-2 has another address"

    on east-1 "$bin" drain --url "$(http east-1)" --for 2s || [ $? -eq 1 ] || die "east-1 cannot be drained"
    wait "${server[east-1]}" || die "east-1 ended with $? after it was drained"
    rm -rf "$scratch"/east-1/var/*/proxyherd
    move east-1 41
    start east-1
    await east-1
    agree "after east-1 was drained and replaced by a host with nothing on it"

    roll_secret
    agree "after the secret was rolled"

    members=("${HOSTS[@]}")
    write_herd
    for host in "${members[@]:0:4}"; do reread "$host"; done
    start south-1
    await south-1
    agree "after south-1 has joined"

    kill "$load"
    wait "$load" 2>/dev/null || true
    agree "when all is quiet"
    all_have_the_same
    # That a loss would be seen is seen by a report that no server has taken.
    echo "AT nowhere +0.1 client-1 +34.06-118.44 9999999999.1" >>"$scratch/replies"
    newest_of_replies >"$scratch/acknowledged"
    if knows_all west-1; then die "it does not see that a report is lost"; fi
    for host in "${members[@]}"; do
        kill -TERM "${server[$host]}"
        wait "${server[$host]}" || die "$host ended with $?"
    done
    echo "hosts.sh: nothing is lost and all agree, in $SECONDS s"
}

# add_host NAME: a network namespace on a bridge, and the folders of the package.
add_host() {
    local host=$1 n=${#number[@]} folder=$scratch/$1
    number[$host]=$n
    address[$host]=10.65.0.$((10 + n))
    ip netns add "$host"
    ip link add "v$n" type veth peer name eth0 netns "$host"
    ip link set "v$n" master herd up
    ip -n "$host" link set lo up
    ip -n "$host" link set eth0 up
    ip -n "$host" addr add "${address[$host]}/24" dev eth0
    mkdir -p "/etc/netns/$host" "$folder"/{etc/proxyherd,var/lib,var/log,credentials}
    # No name server is asked: what the hosts file does not know is not known at once.
    echo 'nameserver 127.0.0.1' >"/etc/netns/$host/resolv.conf"
    echo "$SECRET" >"$folder/credentials/secret"
    chmod 600 "$folder/credentials/secret"
    write_hosts
}

# The file is written in place, because servers that run have this one.
write_hosts() {
    local host other
    for host in "${!number[@]}"; do
        {
            echo '127.0.0.1 localhost'
            for other in "${!number[@]}"; do echo "${address[$other]} $other.herd"; done
        } >"/etc/netns/$host/hosts"
    done
}

# move HOST N: the host has another address from now on.
move() {
    ip -n "$1" addr del "${address[$1]}/24" dev eth0
    address[$1]=10.65.0.$2
    ip -n "$1" addr add "${address[$1]}/24" dev eth0
    write_hosts
}

# A ring of the members.
write_herd() {
    local host last=${members[-1]} file=$scratch/herd.toml
    {
        echo 'links = ['
        for host in "${members[@]}"; do
            echo "    [\"$last\", \"$host\"],"
            last=$host
        done
        echo ']'
        for host in "${members[@]}"; do
            printf '[servers.%s]\nclient = "%s.herd:12550"\nlisten_client = "0.0.0.0:12550"\n' "$host" "$host"
            printf 'peer = "%s.herd:12650"\nlisten_peer = "0.0.0.0:12650"\nhttp = "127.0.0.%s:12750"\n' "$host" \
                "$((1 + number[$host]))"
        done
    } >"$file"
    for host in "${HOSTS[@]}"; do cp "$file" "$scratch/$host/etc/proxyherd/herd.toml"; done
}

http() { echo "http://127.0.0.$((1 + number[$1])):12750"; }

on() {
    local host=$1
    shift
    ip netns exec "$host" "$@"
}

# start HOST OPTION...: as the unit has it, with the folders of this host.
start() {
    local host=$1 folder=$scratch/$1 command
    shift
    command=$(sed -n 's/^ExecStart=//p' "$root/scripts/deploy/proxyherd@.service" | sed "
        s|/usr/bin/proxyherd|$bin|; s|/etc/|$folder/etc/|; s|%i|$host|g
        s|%S|$folder/var/lib|; s|%L|$folder/var/log|; s|%d|$folder/credentials|; s|\$PROXYHERD_OPTIONS|$*|")
    mkdir -p "$folder"/var/{lib,log}/proxyherd/"$host"
    chown -R "$USER_ID" "$folder/var" "$folder/credentials"
    # shellcheck disable=SC2086 # these are words
    ip netns exec "$host" setpriv --reuid "$USER_ID" --regid "$USER_ID" --clear-groups --no-new-privs \
        $command --log-level warn 2>"$folder/stderr" &
    server[$host]=$!
}

# await HOST: it answers.
await() {
    local deadline=$((SECONDS + WAIT_SECONDS_MAX))
    until [ "$(echo x | on phones timeout 5 "$bin" client "$1.herd:12550" 2>/dev/null)" = "? x" ]; do
        kill -0 "${server[$1]}" 2>/dev/null || die "$1 has ended: $(cat "$scratch/$1/stderr")"
        [ "$SECONDS" -lt "$deadline" ] || die "$1 does not answer: $(cat "$scratch/$1/stderr")"
        sleep 0.1
    done
}

# reread HOST: it reads its herd file again.
reread() { kill -HUP "${server[$1]}"; }

# restart HOST OPTION...
restart() {
    kill -TERM "${server[$1]}"
    wait "${server[$1]}" || die "$1 ended with $?"
    start "$@"
    await "$1"
}

# The new secret is accepted everywhere before it is used anywhere, and the old one is accepted as long as it is used.
roll_secret() {
    local host old new
    for host in "${members[@]}"; do
        echo "$SECRET-next" >"$scratch/$host/credentials/next"
        chmod 600 "$scratch/$host/credentials/next"
    done
    for host in "${members[@]}"; do restart "$host" --secret-file "$scratch/$host/credentials/next"; done
    for host in "${members[@]}"; do
        old=$scratch/$host/credentials/secret new=$scratch/$host/credentials/next
        mv "$old" "$old.old"
        mv "$new" "$old"
        restart "$host" --secret-file "$old.old"
    done
    for host in "${members[@]}"; do
        rm "$scratch/$host/credentials/secret.old"
        restart "$host"
    done
    echo "$SECRET-next" >"$scratch/south-1/credentials/secret"
}

# Clients go from host to host and report; what was acknowledged is noted.
report_all_the_time() {
    local host n
    while :; do
        for host in "${HOSTS[@]}"; do
            for n in $(seq "$CLIENTS"); do echo "IAMAT client-$n +34.06-118.44 $(date +%s.%N)"; done |
                on phones timeout 10 "$bin" client "$host.herd:12550" 2>/dev/null >>"$scratch/replies" || true
        done
    done
}

# agree WHEN: reports are acknowledged as before; and every member knows of each client what was acknowledged until
# now, or something newer.
agree() {
    local deadline=$((SECONDS + WAIT_SECONDS_MAX)) host
    local enough=$(($(acknowledged) + CLIENTS * ${#HOSTS[@]}))
    while kill -0 "$load" 2>/dev/null && [ "$(acknowledged)" -lt "$enough" ]; do
        [ "$SECONDS" -lt "$deadline" ] || die "nothing is acknowledged any more $1"
        sleep 0.1
    done
    newest_of_replies >"$scratch/acknowledged"
    for host in "${members[@]}"; do
        until knows_all "$host"; do
            [ "$SECONDS" -lt "$deadline" ] ||
                die "$host does not know what was acknowledged $1: $(missing "$host" | head -n 5)"
            sleep 0.2
        done
    done
    echo "${#members[@]} servers know all of $(acknowledged) acknowledged reports $1"
}

acknowledged() { grep -c '^AT ' "$scratch/replies" || true; }

knows_all() {
    rm -f "$scratch/$1.backup"
    on "$1" "$bin" export --url "$(http "$1")" --out "$scratch/$1.backup" >/dev/null 2>&1 && [ -z "$(missing "$1")" ]
}

# newest_of_replies: of each client the newest time that a server has acknowledged, with nine digits of its second.
newest_of_replies() {
    awk '$1 == "AT" {
        split($6, part, ".")
        time = part[1] "." substr(part[2] "000000000", 1, 9)
        if (time > newest[$4]) newest[$4] = time
    } END { for (client in newest) print client, newest[client] }' "$scratch/replies"
}

# missing HOST: the clients of which its backup has nothing, or something older than was acknowledged.
missing() {
    sed -n 's/^{"client":"\([^"]*\)".*"time":"\([0-9.]*\)".*/\1 \2/p' "$scratch/$1.backup" | awk '
        { split($2, part, "."); time = part[1] "." substr(part[2] "000000000", 1, 9) }
        FILENAME == "-" { known[$1] = time; next }
        !($1 in known) || known[$1] "" < time "" { print $1, "acknowledged", time, "known", known[$1] }
    ' - "$scratch/acknowledged"
}

# all_have_the_same: once nothing is reported any more, the backups of all members come to have the same lines.
all_have_the_same() {
    local deadline=$((SECONDS + WAIT_SECONDS_MAX))
    until [ "$(sums | sort -u | wc -l)" -eq 1 ]; do
        [ "$SECONDS" -lt "$deadline" ] || die "the members know different things"
        sleep 0.2
    done
}

sums() {
    local host
    for host in "${members[@]}"; do
        knows_all "$host" && sort "$scratch/$host.backup" | sha256sum
    done
}

permitted() {
    local tool
    for tool in unshare:util-linux setpriv:util-linux mount:mount ip:iproute2; do
        command -v "${tool%:*}" >/dev/null || skip "this needs ${tool%:*} (Debian: apt-get install ${tool#*:})"
    done
    [ "$(id -u)" -eq 0 ] || skip "network namespaces need root"
    unshare --mount --net --pid --fork true 2>/dev/null || skip "this machine permits no namespaces"
}

skip() {
    echo "hosts.sh: skipped: $1"
    exit 77
}

declare -A number=() address=() server=()
SECRET=a-secret-of-this-herd-and-of-no-other-one
if [ "${1-}" != --inside ]; then
    permitted
    if [ -z "${PROXYHERD_BIN:-}" ]; then
        build_release
        PROXYHERD_BIN=$built
    fi
    export PROXYHERD_BIN
    # Whatever ends this script ends all that it started, with all that it mounted.
    exec unshare --mount --net --pid --fork --kill-child --mount-proc "$0" --inside
fi
bin=$PROXYHERD_BIN
mkdir -p /etc/netns /run/netns
mount -t tmpfs tmpfs /etc/netns
mount -t tmpfs tmpfs /run/netns
ip link add herd type bridge
ip link set herd up
main
