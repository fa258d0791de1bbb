#!/usr/bin/env bash
# What one would expect: SCHED_BATCH is for work that nobody waits for. By sched(7) such a thread is at a loss when
# it is woken, so a server that is woken for each query should answer later, and no more of them.
# What happens: PostgreSQL, a process for each connection, answers a tenth to a fifth more queries by key, each sooner
# on average, when it and its clients share two processors. A process that is woken does not interrupt another in the
# midst of its query, so there are fewer detours and each client finds more answers at once.
# Whom it hurts: who runs a server with a process or a thread for each connection leaves that on the table; it needs no
# privilege (`chrt --batch 0`, or CPUSchedulingPolicy=batch of systemd). Its price is the slowest percent.
#
# Needs Linux, util-linux, apt-get as root if PostgreSQL is not there, and root or a user who may start it. Takes 50 s,
# and a machine that does nothing else.
set -euo pipefail

ROUNDS=5 CLIENTS=16 SECONDS_EACH=3

if ! ls /usr/lib/postgresql/*/bin/pgbench >/dev/null 2>&1; then
    [ "$(id -u)" -eq 0 ] || { echo "PostgreSQL is missing, and only root may install it" >&2; exit 2; }
    echo "installing PostgreSQL"
    { apt-get update &&
        DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends postgresql
    } >/dev/null
fi
pgbench=$(ls /usr/lib/postgresql/*/bin/pgbench | tail -1)
programs=${pgbench%/*}

folder=$(mktemp -d)
# PostgreSQL does not run as root.
as_owner() { "$@"; }
if [ "$(id -u)" -eq 0 ]; then
    chown postgres "$folder"
    as_owner() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
fi
trap 'as_owner "$programs/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
cd "$folder"

# start POLICY: a server whose processes all have it.
start() {
    as_owner chrt "--$1" 0 "$programs/pg_ctl" -D data -l "$folder/log" -o "-k $folder -c listen_addresses=''" -w start
}
stop() { as_owner "$programs/pg_ctl" -D data -m fast -w stop; }
# ask POLICY: queries a second, and the milliseconds of one.
ask() {
    start "$1" >/dev/null
    as_owner "$pgbench" -h "$folder" -S -M prepared -c "$CLIENTS" -T "$SECONDS_EACH" postgres 2>/dev/null |
        awk '/^latency average/ { ms = $4 } /^tps/ { print $3, ms }'
    stop >/dev/null
}

# The same on a larger machine.
taskset --cpu-list --pid 0,1 $$ >/dev/null
uname -sr
"$programs/postgres" --version
as_owner "$programs/initdb" -D data -A trust >/dev/null
start other >/dev/null
as_owner "$pgbench" -h "$folder" -i -s 5 -q postgres >/dev/null 2>&1
stop >/dev/null
for _ in $(seq "$ROUNDS"); do
    read -r other other_ms <<<"$(ask other)"
    read -r batch batch_ms <<<"$(ask batch)"
    echo "SCHED_OTHER $other a second, $other_ms ms each; SCHED_BATCH $batch, $batch_ms ms"
    echo "$other $batch" >>"$folder/rates"
done
awk '{ print $2 / $1 }' "$folder/rates" | sort -n | awk '
    { ratio[NR] = $1 }
    END {
        median = ratio[int((NR + 1) / 2)]
        printf "SCHED_BATCH answers %.2f times as many (%.2f to %.2f)\n", median, ratio[1], ratio[NR]
        exit !(median > 1.03)
    }'
