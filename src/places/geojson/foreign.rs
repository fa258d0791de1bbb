//! Files of other formats, given by mistake: what they are, and how they become GeoJSON.

/// What a file begins with, and what it is.
const BEGINNINGS: [(&[u8], &str); 12] = [
    (b"PK\x03\x04", "a zip archive: unpack it first (of a KMZ or a zipped shapefile too)"),
    (b"BZh", "compressed with bzip2: unpack it first"),
    (b"\xfd7zXZ\0", "compressed with xz: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it first"),
    (b"\xff\xfe", "UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "UTF-16: save it as UTF-8"),
    (b"SQLite format 3\0", "a GeoPackage or another SQLite database"),
    (b"\0\0\x27\x0a", "a shapefile"),
    (b"PAR1", "a Parquet file"),
    (b"fgb\x03", "a FlatGeobuf file"),
    (b"%PDF", "a PDF document"),
    (b"\0\0\0", "OpenStreetMap's PBF, or another binary format"),
];

/// Words in the first tags of a file of XML, and what it is.
const XML: [(&str, &str); 6] = [
    ("<kml", "KML"),
    ("<gpx", "GPX"),
    ("<osm", "OpenStreetMap's XML"),
    ("gml", "GML"),
    ("<html", "a page of HTML"),
    ("<!doctype html", "a page of HTML"),
];

/// How ogr2ogr makes GeoJSON of almost anything.
const CONVERT: &str = "convert it with ogr2ogr -f GeoJSON -t_srs EPSG:4326 new.geojson FILE";

/// What a file is that begins so and is no JSON, and what to do; `None` if it may be JSON.
pub(super) fn named(beginning: &[u8]) -> Option<String> {
    if let Some((_, what)) = BEGINNINGS.iter().find(|(bytes, _)| beginning.starts_with(bytes)) {
        let converts = !what.contains(':') && !what.contains("PDF");
        return Some(if converts { format!("it is {what}: {CONVERT}") } else { format!("it is {what}") });
    }
    let text = String::from_utf8_lossy(beginning);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('<') {
        let lower = text.to_lowercase();
        let what = XML.iter().find(|(word, _)| lower.contains(word)).map_or("XML", |(_, what)| what);
        return Some(format!("it is {what}: {CONVERT}"));
    }
    if text.is_empty() || text.starts_with(['{', '[', '\u{1e}']) {
        return None;
    }
    let line = text.lines().next().unwrap_or_default();
    [',', ';', '\t'].iter().any(|separator| line.matches(*separator).count() >= 2).then(|| {
        "it is a table (CSV): convert it with ogr2ogr -f GeoJSON -oo X_POSSIBLE_NAMES=lon* -oo Y_POSSIBLE_NAMES=lat* \
         new.geojson FILE.csv"
            .to_owned()
    })
}

/// What a JSON object is that has this member at its top, if that is not GeoJSON, and what to do.
pub(super) fn of_member(key: &str) -> Option<String> {
    match key {
        "arcs" | "objects" => Some(format!("it is TopoJSON: {CONVERT}")),
        "geometryType" | "spatialReference" | "objectIdFieldName" => {
            Some(format!("it is Esri JSON: ask the service for f=geojson, or {CONVERT}"))
        }
        "osm3s" | "elements" => {
            Some("it is OpenStreetMap's JSON: convert it with osmtogeojson FILE >new.geojson".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_other_formats_are_named() {
        for (beginning, what) in [
            (&b"PK\x03\x04\x14\0"[..], "zip archive: unpack"),
            (b"SQLite format 3\0\x10", "GeoPackage or another SQLite database: convert it with ogr2ogr"),
            (b"\0\0\x27\x0a\0\0", "a shapefile: convert"),
            (b"\0\0\0\x0d\x0a\x09OSMHeader", "PBF"),
            (b"\xff\xfe{\0", "UTF-16: save"),
            (b"<?xml version=\"1.0\"?>\n<kml xmlns=\"x\">", "it is KML: convert"),
            ("\u{feff} <gpx version=\"1.1\">".as_bytes(), "it is GPX: convert"),
            (b"<!DOCTYPE html><html>", "a page of HTML"),
            (b"<x>", "it is XML"),
            (b"name,lat,lon\nHut,1,2\n", "a table (CSV): convert it with ogr2ogr"),
            (b"name;lat;lon\r\n", "a table (CSV)"),
        ] {
            let named = named(beginning).unwrap_or_default();
            assert!(named.contains(what), "{named}");
        }
        for json in
            [&b""[..], b" {\"a\":1,\"b\":2,\"c\":3}", b"\n[1,2,3]", b"\x1e{\"a\":1,\"b\":2}", b"nonsense"]
        {
            assert_eq!(named(json), None);
        }
        assert!(of_member("arcs").unwrap().contains("TopoJSON"));
        assert_eq!(of_member("name"), None);
    }
}
