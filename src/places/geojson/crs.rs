//! The coordinate system that a file says it has. GeoJSON has one only, WGS 84, but its draft of 2008 had others, and
//! programs still write them.

use serde_json::Value;

/// Names of WGS 84, as the last words of a `crs` say it.
const WGS_84: [&str; 7] = ["crs84", "crs84h", "4326", "4979", "wgs84", "wgs 84", "wgs_84"];

/// The name of the coordinate system, if it is another one than WGS 84; `None` too where none is named.
pub(super) fn other_than_wgs84(crs: &str) -> Option<String> {
    let crs: Value = serde_json::from_str(crs).ok()?;
    let properties = crs.get("properties").unwrap_or(&crs);
    let name = match (&crs, properties) {
        (Value::Null, _) => return None,
        (Value::String(name), _) => name.clone(),
        (_, properties) => match ["name", "href", "code"].iter().find_map(|key| properties.get(key)) {
            Some(Value::String(name)) => name.clone(),
            Some(Value::Number(code)) => format!("EPSG:{code}"),
            Some(Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_)) | None => return None,
        },
    };
    let is_wgs84 =
        WGS_84.iter().any(|known| name.trim().to_lowercase().rsplit([':', '/']).next() == Some(*known));
    (!is_wgs84).then_some(name)
}

/// What an error says of a coordinate system.
pub(super) fn advice(name: &str) -> String {
    format!(
        "its crs is {name}, not WGS 84 in degrees: convert it with ogr2ogr -f GeoJSON -t_srs EPSG:4326 new.geojson \
         old.geojson"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_wgs84_is_known_and_others_are_named() {
        let named = |name: &str| {
            other_than_wgs84(&format!(r#"{{"type": "name", "properties": {{"name": "{name}"}}}}"#))
        };
        for same in [
            "urn:ogc:def:crs:OGC:1.3:CRS84",
            "urn:ogc:def:crs:OGC::CRS84",
            "urn:ogc:def:crs:EPSG::4326",
            "EPSG:4326",
            "epsg:4979",
            "http://www.opengis.net/def/crs/OGC/1.3/CRS84",
            "WGS 84",
        ] {
            assert_eq!(named(same), None, "{same}");
        }
        for other in ["urn:ogc:def:crs:EPSG::3857", "EPSG:25832", "urn:ogc:def:crs:EPSG::4269"] {
            assert_eq!(named(other).as_deref(), Some(other));
        }
        let case = |crs: &str, expected: Option<&str>| assert_eq!(other_than_wgs84(crs).as_deref(), expected);
        case("null", None);
        case("{}", None);
        case(r#""EPSG:31467""#, Some("EPSG:31467"));
        case(r#"{"type": "EPSG", "properties": {"code": 3857}}"#, Some("EPSG:3857"));
        case(r#"{"type": "link", "properties": {"href": "http://x/crs/42"}}"#, Some("http://x/crs/42"));
    }
}
