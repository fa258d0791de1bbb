//! Files as real programs write them: how many places each gives, what they are called, and what is left out and why.
//! Those in the folder `files` were written by hand after real ones.

use std::path::Path;

use crate::places::geojson::{self, Bounds, Collection};
use crate::places::place::Place;
use crate::places::providers::FILE_MAX;

/// What a file comes to: the number of places; the name, the ID, the most special type and the vicinity of the first;
/// and what is left out, one for each cause.
struct Expected {
    file: &'static str,
    places: usize,
    first: [&'static str; 4],
    left_out: &'static [&'static str],
}

const fn file(
    file: &'static str,
    places: usize,
    first: [&'static str; 4],
    left_out: &'static [&'static str],
) -> Expected {
    Expected { file, places, first, left_out }
}

/// Any ID that is made up.
const MADE_UP: &str = "file-";
/// Only the types that every place has.
const ANY: &str = "point_of_interest";

const FILES: &[Expected] = &[
    file(
        "../export.geojson",
        5,
        ["Café Zoë", "node/1001", "cafe", "10 Broxton Avenue, Los Angeles"],
        &[
            "left out 1 that have no position, the first is feature 4: ",
            "left out 1 that have neither a name",
        ],
    ),
    file(
        "arcgis-hosted.geojson",
        1,
        ["Pier Park", "12", "park", ""],
        &["left out 1 that have no position, the first is feature 2: "],
    ),
    file("geojson-io.geojson", 2, ["Lake", "1", ANY, ""], &["left out 1 that have neither a name"]),
    file(
        "geopandas.geojson",
        2,
        ["Clinic \u{fffd}", "0", ANY, ""],
        &["left out 1 that have no position, the first is feature 3 (Lost): its geometry is empty"],
    ),
    file("gpsbabel.geojson", 2, ["GC1234", MADE_UP, ANY, ""], &[]),
    file(
        "gtfs-stops.geojson",
        1,
        ["Main & 1st", "s1", ANY, ""],
        &["feature 2 (Main & 2nd): coordinates [49.21, -123.11] are out of range: longitude comes first"],
    ),
    file("natural-earth.geojson", 2, ["Vatican City", MADE_UP, "admin_1_capital", ""], &[]),
    file("nominatim.geojson", 1, ["Library, 1, Long Road, Oslo, Norway", "1234", "library", ""], &[]),
    file("nothing.geojson", 0, [""; 4], &[]),
    file("ogr2ogr-gpx.geojson", 3, ["WP001", MADE_UP, "parking_area", ""], &[]),
    file(
        "ogr2ogr-kml.geojson",
        3,
        ["Stone Hut", MADE_UP, ANY, ""],
        &["left out 1 that have no position, the first is feature 4 (Folder): it has no geometry"],
    ),
    file(
        "ogr2ogr-osm-multipolygons.geojson",
        2,
        ["Town Park", "771", "park", ""],
        &["the first is feature 2: no name in its properties (osm_id, type, building)"],
    ),
    file(
        "ogr2ogr-osm-points.geojson",
        3,
        ["Corner \"C\"", "2601", "cafe", "3 Long, Street"],
        &["the first is feature 3: no name in its properties (osm_id, highway, crossing)"],
    ),
    file(
        "ogr2ogr-sequence.geojsonl",
        3,
        ["One", MADE_UP, ANY, ""],
        &["left out 1 that cannot be read, the first is feature 3: EOF while parsing a string"],
    ),
    file("ogr2ogr-shapefile.geojson", 2, ["Zum Anker", "4711", "restaurant", "9 Hafen"], &[]),
    file("openaddresses.geojson", 2, ["17 ELM ST", MADE_UP, ANY, "17 ELM ST, DOVER"], &[]),
    file(
        "osmtogeojson-api.geojson",
        2,
        ["Green", "way/5", "park", ""],
        &["left out 1 that have neither a name nor a tag that says what they are, the first is feature 3: "],
    ),
    file("overture.geojsonl", 3, ["Harbor Grill", "08f2a", "seafood_restaurant", "5 Pier Rd"], &[]),
    file("photon.geojson", 1, ["Kino", "66", "movie_theater", "4 Long Road, Oslo"], &[]),
    file(
        "postgis-records.geojson",
        2,
        ["Station", "1", "station", ""],
        &["left out 4 that have no position, the first is feature 2 (Nowhere): its geometry is empty"],
    ),
    file("qgis-quickosm.geojson", 2, ["The Oak", "901", "bar", "Leeds"], &[]),
    file(
        "rfc8142.geojsons",
        3,
        ["One", MADE_UP, ANY, ""],
        &["left out 1 that cannot be read, the first is feature 3: "],
    ),
    file("takeout-labelled-places.json", 1, ["Work", MADE_UP, ANY, "3 Lange Weg"], &[]),
    file(
        "takeout-saved-places.json",
        1,
        ["Tea House", MADE_UP, ANY, "1 Long Lane, London"],
        &["left out 1 that have no position, the first is feature 2: its position is not known"],
    ),
    file(
        "takeout-saved-places-old.json",
        1,
        ["Le Pain", MADE_UP, ANY, "2 Rue Longue, Paris"],
        &["left out 1 that have no position, the first is feature 2 (Somewhere): "],
    ),
    file("umap-backup.umap", 2, ["A", MADE_UP, ANY, ""], &[]),
    file(
        "umap-layer.geojson",
        1,
        ["Bike repair", "AzMTU", ANY, ""],
        &["left out 1 that have neither a name"],
    ),
    file("zero-to-360.geojson", 3, ["Buoy 51001", MADE_UP, ANY, ""], &[]),
];

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/tests/places/files"))
}

pub(super) fn read(text: impl AsRef<[u8]>) -> Result<Collection, String> {
    geojson::read(text.as_ref(), FILE_MAX, None)
}

fn collection(features: &str) -> String {
    format!(r#"{{"type": "FeatureCollection", "features": [{features}]}}"#)
}

/// A feature with these coordinates of a point, and a name.
fn point(coordinates: &str) -> String {
    feature(&format!(r#"{{"type": "Point", "coordinates": {coordinates}}}"#))
}

fn feature(geometry: &str) -> String {
    format!(r#"{{"type": "Feature", "properties": {{"name": "Here"}}, "geometry": {geometry}}}"#)
}

fn with_properties(properties: &str) -> String {
    format!(
        r#"{{"properties": {properties}, "geometry": {{"type": "Point", "coordinates": [1, 2]}}, "type": "Feature"}}"#
    )
}

/// A feature that is fine.
fn fine() -> String {
    with_properties(r#"{"name": "Fine"}"#)
}

fn names(collection: &Collection) -> Vec<&str> {
    collection.gazetteer.places.iter().map(|place| place.name.as_str()).collect()
}

/// The only place of a file with these properties.
fn described(properties: &str) -> Place {
    read(with_properties(properties))
        .unwrap_or_else(|e| panic!("{properties}: {e}"))
        .gazetteer
        .places
        .remove(0)
}

#[test]
fn every_file_gives_its_places() {
    for Expected { file, places, first: [name, id, kind, vicinity], left_out } in FILES {
        let bytes = std::fs::read(folder().join(file)).unwrap();
        let collection = read(bytes).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(collection.gazetteer.places.len(), *places, "{file}");
        if let Some(place) = collection.gazetteer.places.first() {
            assert_eq!((place.name.as_str(), place.types[0].as_str()), (*name, *kind), "{file}");
            assert_eq!(place.vicinity.as_deref().unwrap_or_default(), *vicinity, "{file}");
            let is_right = if *id == MADE_UP { place.id.starts_with(MADE_UP) } else { place.id == *id };
            assert!(is_right, "{file}: {}", place.id);
        }
        let warnings: Vec<String> = collection.warnings().collect();
        assert_eq!(warnings.len(), left_out.len(), "{file}: {warnings:?}");
        for (warning, expected) in warnings.iter().zip(*left_out) {
            assert!(warning.contains(expected), "{file}: {warning}");
        }
    }
    let all = std::fs::read_dir(folder()).unwrap().count();
    // One of them has no place, and one is not in the folder.
    assert_eq!((all, FILES.len()), (28, 28), "every file of the folder is in the table");
    let mercator = std::fs::read(folder().join("postgis-mercator.geojson")).unwrap();
    let error = read(mercator).unwrap_err();
    assert!(error.contains("feature 1 (Station): its crs is EPSG:3857, not WGS 84"), "{error}");
}

#[test]
fn one_odd_feature_never_spoils_the_others() {
    let deep = format!(r#"{{"x": {}1{}}}"#, r#"{"a":["#.repeat(5_000), "]}".repeat(5_000));
    let large = "9".repeat(400);
    for odd in [
        "3",
        "null",
        "\"x\"",
        "[]",
        "[[{}]]",
        "{}",
        "true",
        &deep,
        r#"{"type": "Feature", "geometry": {"type": null}, "properties": {"name": "x"}}"#,
        r#"{"type": "Feature", "geometry": {}, "properties": null}"#,
        r#"{"type": "Feature", "geometry": null, "properties": []}"#,
        r#"{"type": 3, "geometry": 3, "properties": 3, "id": {}}"#,
        r#"{"type": "Feature", "properties": {"name": "x"}}"#,
        r#"{"type": "Feature", "properties": {"name": "x"}, "geometry": {"type": "Circle", "coordinates": [1, 2]}}"#,
        r#"{"a": b}"#,
        r#"{"a" 1}"#,
        r#"{"properties": {"name": "a "b" c"}, "geometry": {"type": "Point", "coordinates": [1, 2]}}"#,
        &point("[]"),
        &point("null"),
        &point("[1]"),
        &point("[null, null]"),
        &point("{}"),
        &point("[[1, 2]]"),
        &point("[\"1\", \"2\"]"),
        &point("[1e999, 0]"),
        &point(&format!("[{large}, 0]")),
        &point("[34.07, -118.44]"),
        &point("[361, 0]"),
        &point("[0, 91]"),
        &point("[NaN, 0]"),
        &point("[180.1, 90.1]"),
        &feature(r#"{"type": "Polygon", "coordinates": [[1, 2], [3, 4]]}"#),
        &feature(r#"{"type": "Polygon", "coordinates": [[[1, 2], [3, 400], [1, 2]]]}"#),
        &feature(r#"{"type": "Polygon", "coordinates": []}"#),
        &feature(r#"{"type": "MultiPolygon", "coordinates": [[[]]]}"#),
        &feature(r#"{"type": "GeometryCollection", "geometries": [null, {"type": null}]}"#),
        &feature(r#"{"type": "GeometryCollection", "geometries": 3}"#),
        &feature(r#"{"type": "LineString"}"#),
        &with_properties("null"),
        &with_properties("[]"),
        &with_properties("\"text\""),
        &with_properties(r#"{"name": null}"#),
        &with_properties(r#"{"name": {"deep": 1}}"#),
    ] {
        let read = read(collection(&[&fine(), odd, &fine()].map(|it| it.to_owned()).join(","))).unwrap();
        assert_eq!(names(&read), ["Fine", "Fine"], "{odd}");
        let warnings: Vec<String> = read.warnings().collect();
        assert_eq!(warnings.len(), 1, "{odd}: {warnings:?}");
        assert!(warnings[0].contains("the first is feature 2"), "{}", warnings[0]);
    }
}

#[test]
fn what_is_odd_where_nothing_is_read_does_no_harm() {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let large = "9".repeat(400);
    for odd in
        ["\"\\ud800\"", "\"\\udc00x\"", "1e999", &large, &deep, "NaN", "{\"a\": -Infinity}", "\"a\tb\nc\""]
    {
        for text in [
            with_properties(&format!(r#"{{"other": {odd}, "name": "Fine"}}"#)),
            format!(r#"{{"other": {odd}, {}"#, &fine()[1..]),
            format!(r#"{{"properties": {odd}, {}"#, &fine()[1..]),
            format!(r#"{{"id": {odd}, {}"#, &fine()[1..]),
            format!(
                r#"{{"properties": {{"name": "Fine"}}, "geometry": {{"x": {odd},
                "type": "Point", "coordinates": [1, 2, {odd}]}}}}"#
            ),
        ] {
            for file in
                [collection(&text), text.clone(), format!("{}\n{}\n", text.replace('\n', " "), fine())]
            {
                let read = read(&file).unwrap_or_else(|error| panic!("{file:.300}: {error}"));
                assert_eq!(names(&read)[0], "Fine", "{file:.300}");
            }
        }
        let outside = format!(
            r#"{{"other": {odd}, "type": "FeatureCollection", "features": [{}], "x": {odd}}}"#,
            fine()
        );
        assert_eq!(names(&read(&outside).unwrap()), ["Fine"], "{odd:.300}");
    }
    assert_eq!(described(r#"{"name": "a\ud800b"}"#).name, "a\u{fffd}b");
    let latin: Vec<u8> =
        with_properties(r#"{"name": "Caf?"}"#).bytes().map(|b| if b == b'?' { 0xe9 } else { b }).collect();
    assert_eq!(names(&read(latin).unwrap()), ["Caf\u{fffd}"]);
}

#[test]
fn positions_are_taken_as_programs_round_and_count_them() {
    for (coordinates, longitude, latitude) in [
        ("[180, -90, 12.5]", 180.0, -90.0),
        ("[1.5, 2.5, null]", 1.5, 2.5),
        ("[1, 2, \"x\", {}]", 1.0, 2.0),
        ("[180.00000000000003, 0]", 180.0, 0.0),
        ("[-180.0000001, 90.0000000001]", -180.0, 90.0),
        ("[181, 0]", -179.0, 0.0),
        ("[270.5, 0]", -89.5, 0.0),
        ("[360, 0]", 0.0, 0.0),
        ("[-190, 0]", 170.0, 0.0),
        ("[-0.0, 1e-7]", 0.0, 1e-7),
    ] {
        let read = read(point(coordinates)).unwrap();
        let place = &read.gazetteer.places[0];
        assert_eq!((place.longitude, place.latitude), (longitude, latitude), "{coordinates}");
    }
}

#[test]
fn a_file_without_a_usable_place_says_what_is_wrong_with_the_first_three() {
    let nothing = collection(
        &[&point("[]"), "3", &with_properties(r#"{"fid": 1}"#), "{}"].map(|it| it.to_owned()).join(","),
    );
    let error = read(nothing).unwrap_err();
    assert_eq!(
        error,
        "none of its 4 features is a place: feature 1 (Here): its geometry is empty; feature 2: it is 3, and no \
         feature; feature 3: no name in its properties (fid): give \
         --places-name-field"
    );
    let long = "x".repeat(5_000);
    assert!(read(collection(&with_properties(&format!(r#"{{"{long}": 1}}"#)))).unwrap_err().len() < 500);
    let quoted = read(collection(&format!("\"{long}\""))).unwrap_err();
    assert!(quoted.len() < 500 && quoted.contains("no feature"), "{quoted}");
    for empty in [
        r#"{"type": "FeatureCollection", "features": []}"#,
        r#"{"type": "FeatureCollection", "features": null}"#,
        r#"{"features": [], "type": "FeatureCollection", "crs": null}"#,
        "[]",
    ] {
        assert_eq!(names(&read(empty).unwrap()), [""; 0], "{empty}");
    }
}

#[test]
fn a_file_that_is_no_geojson_is_named() {
    let wrong = |text: &str, expected: &str| {
        let error = read(text).map(|_| ()).unwrap_err();
        assert!(error.contains(expected) && !error.contains('\n') && error.len() < 1_000, "{text}: {error}");
    };
    wrong("", "it is empty");
    wrong("nonsense", "expected an object of GeoJSON at line 1 column 1");
    wrong("{\n\"type\": }", "expected value at line 1 column 9");
    wrong(&format!("{{\n \"{}\"", "x".repeat(5_000)), "line 2 column 5004");
    wrong(r#"{"type": "FeatureCollection"}"#, "a FeatureCollection without \"features\"");
    wrong(r#"{"type": "FeatureCollection", "features": 3}"#, "its \"features\" are no array");
    wrong(r#"{"type": "Layer", "features": []}"#, "its \"type\" is \"Layer\"");
    wrong(&collection(&fine())[..100], "it is cut off: it ends in the middle at line 1 column 101");
    wrong(r#"{"type": "FeatureCollection", "features": [{} {}]}"#, "expected a comma at line 1 column 47");
    wrong(r#"{"a": 1}"#, "feature 1: it has no geometry");
    wrong(r#"[{"lat": 1, "lon": 2, "name": "x"}]"#, "feature 1: it has no geometry");
    wrong(
        r#"{"type": "Point", "coordinates": [1, 2]}"#,
        "feature 1: no name in its properties (it has none)",
    );
    wrong(
        r#"{"type": "Topology", "objects": {"x": {"type": "GeometryCollection", "geometries": []}}, "arcs": []}"#,
        "it is TopoJSON: convert it with ogr2ogr -f GeoJSON",
    );
    wrong(
        r#"{"objectIdFieldName": "OBJECTID", "spatialReference": {"wkid": 4326},
        "features": [{"attributes": {"NAME": "x"}, "geometry": {"x": 1, "y": 2}}]}"#,
        "it is Esri JSON: ask the service for f=geojson",
    );
    wrong(
        r#"{"version": 0.6, "osm3s": {}, "elements": [{"type": "node", "id": 1, "lat": 1, "lon": 2}]}"#,
        "it is OpenStreetMap's JSON: convert it with osmtogeojson",
    );
    wrong("<kml><Document/></kml>", "it is KML: convert it with ogr2ogr");
    wrong("name,lat,lon\nHut,1,2\n", "it is a table (CSV)");
    wrong("PK\u{3}\u{4}", "it is a zip archive: unpack it");
    for crs in ["urn:ogc:def:crs:EPSG::3857", "EPSG:25832"] {
        let member = format!(r#""crs": {{"type": "name", "properties": {{"name": "{crs}"}}}}"#);
        let expected = format!("its crs is {crs}, not WGS 84 in degrees: convert it with ogr2ogr");
        let last = format!(r#"{{"type": "FeatureCollection", "features": [{}], {member}}}"#, fine());
        wrong(&last, &expected);
        wrong(&format!(r#"{{{member}, {}"#, &collection(&fine())[1..]), &expected);
        wrong(&format!(r#"{{{member}, {}"#, &fine()[1..]), &expected);
    }
    let sixteen: Vec<u8> =
        std::iter::once(0xfeff).chain(fine().encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert!(read(sixteen).unwrap_err().contains("UTF-16: save it as UTF-8"));
}

#[test]
fn every_form_of_a_file_is_read() {
    let (a, b) = (fine(), point("[1, 2]"));
    let two = ["Fine", "Here"];
    let marked = format!("\u{feff}{}", collection(&format!("{a},{b}")));
    let pretty = b.replace(", ", ",\n  ");
    for text in [
        collection(&format!("{a},{b}")),
        collection(&format!("{a},\n{b},\n")),
        marked,
        format!("{a}\n{b}\n"),
        format!("{a}\r\n\r\n{b}"),
        format!("{pretty}\n{a}\n").replace("Here", "x").replace("Fine", "Here").replace("\"x\"", "\"Fine\""),
        format!("\u{1e}{a}\n\u{1e}{pretty}\n"),
        format!("\n\u{1e}\u{1e}{a}\u{1e}{b}"),
        format!("[{a}, {b}]"),
        format!("{}\n{}\n", collection(&a), collection(&b)),
        format!("{}\n{b}\n", collection(&a).replace('\n', " ")),
        format!("{a}\n{}\n", collection(&b)),
        format!(r#"{{"features": [{a}, {b}]}}"#),
    ] {
        let read = read(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(names(&read), two, "{text}");
        assert_eq!(read.warnings().count(), 0, "{text}");
    }
    for text in [
        format!("{{\"type\": \"Feature\", \"geometry\": {{\n{a}\n{b}\n"),
        format!("{a}\n{{\"type\": \"Fea\n{b}"),
        format!("{a}\n{b}\n{{\"type\": \"Feature\", \"geom"),
        format!("{a}\nnonsense\n{b}\n"),
        format!("\u{1e}{a}\n\u{1e}{{\"type\": \"Fea\u{1e}{b}\n"),
    ] {
        let read = read(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(names(&read), two, "{text}");
        assert_eq!(read.warnings().count(), 1, "{text}");
    }
    assert_eq!(names(&read(&pretty).unwrap()), ["Here"], "a feature alone");
}

#[test]
fn a_packed_file_is_read_in_any_number_of_parts() {
    use std::io::Write;

    let packed = |text: &str| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).unwrap();
        packed.finish().unwrap()
    };
    let (a, b) = (fine(), point("[1, 2]"));
    assert_eq!(names(&read(packed(&collection(&a))).unwrap()), ["Fine"]);
    let parts = [packed(&format!("{a}\n")), packed(&format!("\u{1e}{b}").replace('\u{1e}', ""))].concat();
    assert_eq!(names(&read(parts).unwrap()), ["Fine", "Here"]);
    let cut = &packed(&collection(&a))[..60];
    assert!(read(cut).unwrap_err().starts_with("cannot be read: "), "{}", read(cut).unwrap_err());
    assert!(read(packed("<gpx>")).unwrap_err().contains("it is GPX"));
    let bounds = Bounds { bytes: 1_000, ..FILE_MAX };
    let bomb = packed(&" ".repeat(100_000));
    assert_eq!(
        geojson::read(&bomb[..], bounds, None).unwrap_err(),
        "more than 1000 bytes: split it, or keep fewer places"
    );
}

#[test]
fn a_file_may_hold_only_so_much() {
    let bounds = Bounds { places: 2, features: 5, feature_bytes: 400, vertices: 8, ..FILE_MAX };
    let within = |features: &[&str]| {
        geojson::read(collection(&features.join(",")).as_bytes(), bounds, None).map(|collection| {
            (collection.gazetteer.places.len(), collection.warnings().collect::<Vec<_>>().join("; "))
        })
    };
    let cafe = fine();
    assert_eq!(within(&[&cafe, "{}", "{}", "{}", &cafe]).unwrap().0, 2);
    assert_eq!(
        within(&[&cafe, &cafe, &cafe]).unwrap_err(),
        "more than 2 places: split it, or keep fewer places"
    );
    assert!(within(&["{}"; 6]).unwrap_err().starts_with("more than 5 features: "));
    let long = with_properties(&format!(r#"{{"name": "{}"}}"#, "x".repeat(400)));
    let (places, warnings) = within(&[&long, &cafe]).unwrap();
    assert_eq!(places, 1);
    assert!(
        warnings
            .contains("left out 1 that are too long, the first is feature 1: it is longer than 400 bytes")
    );
    let square = |side: f64| {
        feature(&format!(
            r#"{{"type": "Polygon", "coordinates": [[[0, 0], [{side}, 0], [{side}, {side}], [0, {side}], [0, 0]]]}}"#
        ))
    };
    assert_eq!(within(&[&square(0.1)]).unwrap().0, 1);
    for too_many in [&[&*square(0.1), &*square(0.1)][..], &[&*square(1.0)]] {
        let error = within(too_many).unwrap_err();
        assert_eq!(
            error,
            "more than 8 vertices: keep fewer areas, or simplify them (ogr2ogr -simplify 0.0001)"
        );
    }
}

#[test]
fn names_are_found_under_the_usual_keys_in_their_order() {
    let name =
        |properties: &str, expected: &str| assert_eq!(described(properties).name, expected, "{properties}");
    for key in [
        "name",
        "Name",
        "NAME",
        "title",
        "Title",
        "label",
        "LABEL",
        "name:en",
        "name:fr",
        "name:zh-Hant",
        "name_de",
        "NAME_EN",
        "int_name",
        "official_name",
        "OFFICIAL_N",
        "brand",
        "operator",
        "alt_name",
        "display_name",
        "FACNAME",
        "park_name",
        "Business Name",
        "PlaceName",
        "siteName",
        "nombre",
        "desc",
        "cmt",
        "Description",
    ] {
        name(&format!(r#"{{"x": 1, "{key}": "It"}}"#), "It");
    }
    name(r#"{"brand": "B", "name:fr": "F", "title": "T", "name": ""}"#, "T");
    name(r#"{"brand": "B", "name:fr": "F", "int_name": "I"}"#, "I");
    name(r#"{"brand": "B", "name:fr": "F", "amenity": "bank"}"#, "F");
    name(r#"{"operator": "O", "amenity": "bank", "description": "D"}"#, "O");
    name(r#"{"amenity": "drinking_water", "description": "D", "artist_name": "A"}"#, "drinking water");
    name(r#"{"names": {"primary": "P"}, "categories": {"primary": "c"}}"#, "P");
    name(r#"{"fclass": "bus_stop"}"#, "bus stop");
    name(r#"{"description": "One line\nand another"}"#, "One line");
    for no_name in [
        r#"{"street_name": "x"}"#,
        r#"{"name:etymology": "x", "layer_name": "y", "username": "z", "addr:street": "Way", "addr:housenumber": "1"}"#,
        r#"{"file_name": "x", "CITY_NAME": "x", "name:prefix": "x"}"#,
        r#"{"description": "<p>x</p>"}"#,
        r#"{"type": "node", "class": "way"}"#,
        r#"{"park_name": "12"}"#,
    ] {
        assert!(read(with_properties(no_name)).is_err(), "{no_name}");
    }
    let named = geojson::read(
        with_properties(r#"{"name": "Usual", "Spot ID": "Own"}"#).as_bytes(),
        FILE_MAX,
        Some("spot id"),
    );
    assert_eq!(names(&named.unwrap()), ["Own"]);
}

#[test]
fn ids_types_and_addresses_are_found_where_programs_put_them() {
    for (properties, id) in [
        (r#"{"name": "x", "@id": "node/1", "id": 2}"#, "node/1"),
        (r#"{"name": "x", "osm_id": 17}"#, "17"),
        (r#"{"name": "x", "OSM_ID": "18", "full_id": "n18"}"#, "18"),
        (r#"{"name": "x", "osm_id": null, "osm_way_id": "19"}"#, "19"),
        (r#"{"name": "x", "place_id": "p", "osm_id": 1}"#, "p"),
    ] {
        assert_eq!(described(properties).id, id);
    }
    for (properties, kind) in [
        (r#"{"name": "x", "AMENITY": "pub"}"#, "bar"),
        (r#"{"name": "x", "tags": {"shop": "bakery"}}"#, "bakery"),
        (r#"{"name": "x", "other_tags": "\"tourism\"=>\"hotel\""}"#, "lodging"),
        (r#"{"name": "x", "category": "Art Gallery"}"#, "art_gallery"),
        (r#"{"name": "x", "types": "library, cafe", "amenity": "pub"}"#, "library"),
        (r#"{"name": "x", "type": "multipolygon"}"#, ANY),
        (r#"{"name": "x", "class": "amenity", "type": "pub"}"#, "bar"),
    ] {
        assert_eq!(described(properties).types[0], kind, "{properties}");
    }
    for (properties, vicinity) in [
        (r#"{"name": "x", "address": "1 Way"}"#, "1 Way"),
        (r#"{"name": "x", "addr_street": "Way", "addr_housenumber": 2, "addr_city": "Town"}"#, "2 Way, Town"),
        (r#"{"name": "x", "street": "Way", "housenumber": "3", "city": "Town"}"#, "3 Way, Town"),
        (r#"{"name": "x", "Location": {"Address": "4 Way"}}"#, "4 Way"),
    ] {
        assert_eq!(described(properties).vicinity.as_deref(), Some(vicinity), "{properties}");
    }
}
