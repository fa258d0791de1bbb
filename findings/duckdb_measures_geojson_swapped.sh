#!/usr/bin/env bash
# What one would expect: DuckDB's spatial extension reads GeoJSON, whose points are longitude and latitude, and so
# ST_Distance_Sphere of two points that it has read is the distance between them.
# What happens: ST_GeomFromGeoJSON keeps longitude first, and ST_Distance_Sphere and ST_Distance_Spheroid take the first
# number as the latitude. Paris and London are 403 km apart instead of 343, and nothing warns, because both numbers of
# each point are possible latitudes.
# Whom it hurts: those who load tracks or places as GeoJSON and ask what is near, as with PostGIS, where the function of
# the same name takes longitude first. `ST_FlipCoordinates` before measuring or `SET geometry_always_xy = true` mend it.
#
# Needs Linux on x86-64, Python 3 with venv, and a package index. The extension comes from the same index.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==1.5.5 duckdb-extension-spatial==1.5.5
cat >"$folder/ask.py" <<'PYTHON'
import duckdb, os, duckdb_extension_spatial as spatial
folder = os.path.dirname(spatial.__file__)
db = duckdb.connect(config={"extension_directory": os.environ["FOLDER"]})
db.execute(f"INSTALL '{folder}/extensions/v1.5.5/spatial.duckdb_extension'")
db.execute("LOAD spatial")
point = lambda x, y: f"""ST_GeomFromGeoJSON('{{"type":"Point","coordinates":[{x},{y}]}}')"""
ask = lambda text: round(db.execute(f"SELECT {text}").fetchone()[0] / 1000)
paris, london = point(2.35, 48.86), point(-0.13, 51.5)
print("version", duckdb.__version__)
print("read as text:", db.execute(f"SELECT ST_AsText({paris})").fetchone()[0])
seen = [ask(f"ST_Distance_Sphere({paris}, {london})"),
        ask(f"ST_Distance_Spheroid({paris}::POINT_2D, {london}::POINT_2D)"),
        ask(f"ST_Distance_Sphere(ST_FlipCoordinates({paris}), ST_FlipCoordinates({london}))")]
db.execute("SET geometry_always_xy = true")
seen.append(ask(f"ST_Distance_Sphere({paris}, {london})"))
print("km: sphere %d, spheroid %d, flipped %d, always_xy %d" % tuple(seen))
raise SystemExit(seen != [403, 402, 343, 343])
PYTHON
FOLDER=$folder/extensions "$folder/venv/bin/python" "$folder/ask.py"
