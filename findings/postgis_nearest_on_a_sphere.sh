#!/usr/bin/env bash
# What one would expect: on `geography`, `ORDER BY g <-> here LIMIT 1` gives the row whose ST_Distance from here is
# least, because both measure in metres and the operator is documented as the way to the nearest.
# What happens: ST_Distance measures on the ellipsoid and `<->` on a sphere, with or without an index. At 45 degrees
# north a place 10,020 m to the east comes before one 10,000 m to the north.
# Whom it hurts: those who ask for the nearest and show ST_Distance beside it: the list is not in the order of its
# numbers, and with LIMIT the nearest can be missing. Right: take some more rows by `<->`, then order by ST_Distance.
#
# Needs Linux, apt-get as root if PostGIS is not there, and root or a user who may start PostgreSQL. Takes some seconds.
set -euo pipefail

if ! ls /usr/share/postgresql/*/extension/postgis.control >/dev/null 2>&1; then
    [ "$(id -u)" -eq 0 ] || { echo "PostGIS is missing, and only root may install it" >&2; exit 2; }
    echo "installing PostGIS"
    { apt-get update &&
        DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends postgresql postgresql-postgis
    } >/dev/null
fi
control=$(ls /usr/share/postgresql/*/extension/postgis.control | tail -1)
version=$(basename "$(dirname "$(dirname "$control")")")
programs=/usr/lib/postgresql/$version/bin

folder=$(mktemp -d)
# PostgreSQL does not run as root.
as_owner() { "$@"; }
if [ "$(id -u)" -eq 0 ]; then
    chown postgres "$folder"
    as_owner() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
fi
trap 'as_owner "$programs/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null 2>&1 || true; rm -rf "$folder"' EXIT
cd "$folder"
as_owner "$programs/initdb" -D data -A trust >/dev/null
as_owner "$programs/pg_ctl" -D data -l "$folder/log" -o "-k $folder -c listen_addresses=''" -w start >/dev/null
sql() { as_owner psql -h "$folder" -d postgres --quiet --no-align --tuples-only -F ' ' "$@"; }

sql <<'SQL' 2>/dev/null
CREATE EXTENSION postgis;
CREATE TABLE place (name text, g geography(point));
INSERT INTO place SELECT 'north', ST_Project('POINT(10 45)'::geography, 10000, 0);
INSERT INTO place SELECT 'east', ST_Project('POINT(10 45)'::geography, 10020, pi() / 2);
CREATE INDEX ON place USING gist (g);
SQL
echo "PostgreSQL $version, PostGIS $(sql -c 'SELECT postgis_lib_version()')"
nearest="SELECT name, round(ST_Distance(g, 'POINT(10 45)'::geography)) FROM place
    ORDER BY g <-> 'POINT(10 45)'::geography"
table=$(sql -c 'SET enable_indexscan = off' -c "$nearest" | paste -sd,)
index=$(sql -c 'SET enable_seqscan = off' -c "$nearest" | paste -sd,)
echo "by <->, without the index: $table"
echo "by <->, with the index: $index"
[ "$table" = "east 10020,north 10000" ] && [ "$index" = "$table" ]
