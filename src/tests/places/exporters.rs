//! Files that real programs make in the test: ogr2ogr of gdal-bin, osmtogeojson, gpsbabel and PostGIS. A program that
//! is not there is named, and its test is skipped; `scripts/test.sh` installs what it may.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::files::read;
use crate::places::place::Place;

const KML: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<kml xmlns="http://www.opengis.net/kml/2.2"><Document><name>Map</name>
<Placemark><name>Hut</name><description>open</description>
<Point><coordinates>11.25,47.5,1802</coordinates></Point></Placemark>
<Placemark><name>Lake</name><Polygon><outerBoundaryIs><LinearRing>
<coordinates>11,47 11.1,47 11.1,47.1 11,47.1 11,47</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark>
<Placemark><name>Nowhere</name></Placemark>
</Document></kml>"#;

const GPX: &str = r#"<?xml version="1.0"?>
<gpx version="1.1" creator="test" xmlns="http://www.topografix.com/GPX/1/1">
<wpt lat="46.2" lon="7.1"><ele>512</ele><name>Car park</name><sym>Parking Area</sym></wpt>
<wpt lat="46.21" lon="7.11"><name>View</name><cmt>over the lake</cmt></wpt></gpx>"#;

/// A café whose name has all that must be escaped, a park with a name in one language only, and a square of no kind.
const OSM: &str = r#"<?xml version="1.0"?><osm version="0.6">
<node id="1" lat="52.5" lon="13.4" version="1"><tag k="amenity" v="cafe"/><tag k="name" v="Say &quot;Hi&quot; \ Bye"/>
<tag k="addr:street" v="Long, =&gt; Street"/></node>
<node id="2" lat="52.5" lon="13.41" version="1"/><node id="3" lat="52.51" lon="13.41" version="1"/>
<node id="4" lat="52.51" lon="13.4" version="1"/>
<way id="9" version="1"><nd ref="1"/><nd ref="2"/><nd ref="3"/><nd ref="4"/><nd ref="1"/>
<tag k="leisure" v="park"/><tag k="name:fr" v="Le Parc"/></way>
<way id="10" version="1"><nd ref="2"/><nd ref="3"/><nd ref="4"/><nd ref="2"/><tag k="building" v="yes"/></way></osm>"#;

const CSV: &str = "NAME,lat,lon,note\nDépôt,48.1,11.5,\"a, b\"\n,48.2,11.6,x\n";

/// The records of a table, as those write them who make GeoJSON with PostGIS.
const SQL: &str = r#"
create extension postgis; create extension hstore;
create table spots (id int, "Name" text, tags hstore, geom geometry);
insert into spots values
(1, 'Station', 'railway=>station', 'SRID=4326;POINT(24.9384 60.1699)'),
(2, 'Nowhere', null, 'SRID=4326;POINT EMPTY'),
(3, 'No area', null, 'SRID=4326;POLYGON EMPTY'),
(4, 'Null', null, null),
(5, null, 'amenity=>bank, "name:sv"=>"En \"bank\""', 'SRID=4326;POINT Z (24.95 60.17 3)'),
(6, 'Park', null, 'SRID=4326;MULTIPOLYGON(((24 60, 24.1 60, 24.1 60.1, 24 60)))');
"#;

const COLLECTION: &str = "select json_build_object('type', 'FeatureCollection', 'features', \
     json_agg(ST_AsGeoJSON(s.*)::json)) from spots s";
const LINES: &str = "select ST_AsGeoJSON(s.*) from spots s order by id";
const MERCATOR: &str = "select ST_AsGeoJSON(s.*) from (select id, \"Name\", ST_Transform(geom, 3857) from spots) s \
     where id in (1, 6)";

/// Where a program is: in the path, or where `scripts/test.sh` and Debian put it.
fn program(name: &str, package: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/target/exporters/node_modules/.bin");
    let postgres = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = postgres.map(|version| version.path().join("bin")).chain(std::env::split_paths(&path));
    let folders = folders.chain([own.into()]);
    let found = folders.map(|folder| folder.join(name)).find(|program| program.is_file());
    if found.is_none() {
        skipped(&format!("this needs {name} ({package})"));
    }
    found
}

fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}

/// What a program prints, which must not fail.
fn output(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The names, IDs and most special types of the places of a file.
fn places(file: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(file);
    let collection = read(file).unwrap_or_else(|error| panic!("{text}: {error}"));
    let shown = |place: &Place| {
        let id = if place.id.starts_with("file-") { "-" } else { &place.id };
        format!("{} {id} {}", place.name, place.types[0])
    };
    collection.gazetteer.places.iter().map(shown).collect()
}

#[test]
fn ogr2ogr_makes_files_that_are_read() {
    let Some(ogr2ogr) = program("ogr2ogr", "Debian: apt-get install gdal-bin") else { return };
    let folder = tempfile::tempdir().unwrap();
    let input = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let convert = |from: &Path, options: &[&str]| {
        let mut command = Command::new(&ogr2ogr);
        command.args(["-f", "GeoJSON"]).args(options).arg("/vsistdout/").arg(from);
        command
    };
    let kml = input("map.kml", KML);
    let expected = ["Hut - point_of_interest", "Lake - point_of_interest"];
    assert_eq!(places(&output(&mut convert(&kml, &[]))), expected);
    for sequence in [&["-lco", "RS=YES"][..], &["-lco", "RS=NO"]] {
        let mut command = Command::new(&ogr2ogr);
        command.args(["-f", "GeoJSONSeq"]).args(sequence).arg("/vsistdout/").arg(&kml);
        assert_eq!(places(&output(&mut command)), expected, "{sequence:?}");
    }
    for other in ["map.shp", "map.gpkg"] {
        let path = folder.path().join(other);
        let points = ["-where", "OGR_GEOMETRY='POINT'"];
        output(
            Command::new(&ogr2ogr)
                .args(["-f", if other == "map.shp" { "ESRI Shapefile" } else { "GPKG" }])
                .arg(&path)
                .arg(&kml)
                .args(points),
        );
        assert_eq!(places(&output(&mut convert(&path, &[]))), ["Hut - point_of_interest"], "{other}");
        assert!(read(fs::read(&path).unwrap()).unwrap_err().contains("convert it with ogr2ogr"), "{other}");
    }
    let mercator = output(convert(&kml, &["-t_srs", "EPSG:3857"]).arg("-skipfailures"));
    assert!(read(mercator).unwrap_err().contains("EPSG::3857, not WGS 84"));

    let gpx = input("way.gpx", GPX);
    let waypoints = output(convert(&gpx, &[]).arg("waypoints"));
    assert_eq!(places(&waypoints), ["Car park - parking_area", "View - point_of_interest"]);

    let osm = input("map.osm", OSM);
    let points = output(convert(&osm, &[]).arg("points"));
    assert_eq!(places(&points), ["Say \"Hi\" \\ Bye 1 cafe"]);
    assert_eq!(read(&points).unwrap().gazetteer.places[0].vicinity.as_deref(), Some("Long, => Street"));
    let areas = output(convert(&osm, &[]).arg("multipolygons"));
    assert_eq!(places(&areas), ["Le Parc 9 park"]);

    let csv = input("table.csv", CSV);
    let options = ["-oo", "X_POSSIBLE_NAMES=lon*", "-oo", "Y_POSSIBLE_NAMES=lat*"];
    assert_eq!(places(&output(&mut convert(&csv, &options))), ["Dépôt - point_of_interest"]);
}

#[test]
fn osmtogeojson_makes_files_that_are_read() {
    let Some(osmtogeojson) = program("osmtogeojson", "npm install osmtogeojson") else { return };
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("map.osm");
    fs::write(&input, OSM).unwrap();
    for options in [&[][..], &["-m"], &["-e"], &["-e", "-m"], &["-n"]] {
        let made = output(Command::new(&osmtogeojson).args(options).arg(&input));
        assert_eq!(places(&made), ["Le Parc way/9 park", "Say \"Hi\" \\ Bye node/1 cafe"], "{options:?}");
        assert_eq!(read(&made).unwrap().gazetteer.shapes.len(), 1);
    }
}

#[test]
fn gpsbabel_makes_files_that_are_read() {
    let Some(gpsbabel) = program("gpsbabel", "Debian: apt-get install gpsbabel") else { return };
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("way.gpx");
    fs::write(&input, GPX).unwrap();
    let made = output(
        Command::new(gpsbabel).args(["-i", "gpx", "-f"]).arg(&input).args(["-o", "geojson", "-F", "-"]),
    );
    assert_eq!(places(&made), ["Car park - point_of_interest", "View - point_of_interest"]);
}

#[test]
fn postgis_makes_files_that_are_read() {
    const DEBIAN: &str = "Debian: apt-get install postgresql-15-postgis-3";
    let (Some(initdb), Some(pg_ctl), Some(psql)) =
        (program("initdb", DEBIAN), program("pg_ctl", DEBIAN), program("psql", DEBIAN))
    else {
        return;
    };
    let share = output(Command::new(pg_ctl.with_file_name("pg_config")).arg("--sharedir"));
    let extension = Path::new(String::from_utf8_lossy(&share).trim()).join("extension/postgis.control");
    if !extension.is_file() {
        return skipped(&format!("this needs PostGIS ({DEBIAN})"));
    }
    // PostgreSQL refuses to run as root.
    let is_root = rustix::process::geteuid().is_root();
    let folder = tempfile::tempdir().unwrap();
    let as_postgres = |program: &Path| {
        let mut command = Command::new(if is_root { Path::new("runuser") } else { program });
        if is_root {
            command.args(["-u", "postgres", "--"]).arg(program);
        }
        command.current_dir(folder.path());
        command
    };
    if is_root {
        output(Command::new("chown").arg("postgres").arg(folder.path()));
    }
    let (data, sockets) = (folder.path().join("data"), folder.path().display());
    output(as_postgres(&initdb).args(["-A", "trust", "-U", "test", "-N", "-D"]).arg(&data));
    let options = format!("-c listen_addresses='' -c fsync=off -k {sockets}");
    let log = folder.path().join("log");
    // Its output goes to the log: a pipe would stay open as long as it runs.
    let started = as_postgres(&pg_ctl)
        .args(["start", "-w", "-o", &options, "-l"])
        .arg(&log)
        .arg("-D")
        .arg(&data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(started.success(), "{}", fs::read_to_string(&log).unwrap_or_default());
    let ask = |sql: &str| {
        let mut command = as_postgres(&psql);
        command.args(["-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-U", "test", "-d", "postgres", "-c", sql]);
        command.arg("-h").arg(folder.path()).stdin(Stdio::null()).output().unwrap()
    };
    let answers = [SQL, COLLECTION, LINES, MERCATOR].map(ask);
    output(as_postgres(&pg_ctl).args(["stop", "-m", "immediate", "-D"]).arg(&data));
    for answer in &answers {
        assert!(answer.status.success(), "{}", String::from_utf8_lossy(&answer.stderr));
    }
    let [_, collection, lines, mercator] = answers.map(|answer| answer.stdout);
    for made in [collection, lines] {
        let read = read(&made).unwrap();
        let warnings: Vec<String> = read.warnings().collect();
        assert_eq!(places(&made), ["Station 1 station", "En \"bank\" 5 bank", "Park 6 point_of_interest"]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(
            warnings[0].starts_with("left out 3 that have no position, the first is feature 2 (Nowhere)")
        );
    }
    let error = read(mercator).unwrap_err();
    assert!(error.contains("feature 1 (Station): its crs is EPSG:3857, not WGS 84"), "{error}");
}
