//! One feature as it is written, or a geometry that stands alone. Members may come in any order and more than once,
//! in which case the last one counts, and what has another type than it should have is as good as absent.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::tags::{Kept, Tags};

/// A feature, or another object of GeoJSON.
#[derive(Debug, Default)]
pub(super) struct Feature<'a> {
    /// Its `type`.
    pub(super) kind: Option<String>,
    pub(super) id: Option<Value>,
    pub(super) geometry: Geometry<'a>,
    pub(super) properties: Tags,
    /// Whether it has members that only a feature has.
    pub(super) is_feature: bool,
}

/// A geometry. Coordinates are kept as text, because those of an area may be many.
#[derive(Debug, Default)]
pub(super) struct Geometry<'a> {
    pub(super) kind: Option<String>,
    pub(super) coordinates: Option<&'a RawValue>,
    /// The parts of a collection.
    pub(super) geometries: Option<&'a RawValue>,
    pub(super) crs: Option<&'a RawValue>,
}

impl<'a> Feature<'a> {
    /// Reads a text. `tags` are those of another feature, whose memory is used again.
    pub(super) fn read(text: &'a str, tags: Tags) -> Result<Feature<'a>, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let feature = FeatureSeed(tags).deserialize(&mut reader)?;
        reader.end()?;
        Ok(feature)
    }
}

struct FeatureSeed(Tags);

impl<'de> DeserializeSeed<'de> for FeatureSeed {
    type Value = Feature<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Feature<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FeatureSeed {
    type Value = Feature<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a feature")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Feature<'de>, A::Error> {
        let mut feature = Feature { properties: self.0, ..Feature::default() };
        feature.properties.0.clear();
        // The feature may be a bare geometry.
        let mut bare = Geometry::default();
        while let Some(key) = members.next_key::<Cow<'_, str>>()? {
            match &*key {
                "type" => feature.kind = members.next_value::<Kept>()?.text(),
                "id" => feature.id = members.next_value::<Kept>()?.0,
                "geometry" => {
                    feature.geometry = members.next_value()?;
                    feature.is_feature = true;
                }
                "properties" => {
                    feature.properties.0.clear();
                    members.next_value_seed(&mut feature.properties)?;
                    feature.is_feature = true;
                }
                "coordinates" => bare.coordinates = Some(members.next_value()?),
                "geometries" => bare.geometries = Some(members.next_value()?),
                "crs" => bare.crs = Some(members.next_value()?),
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        if feature.is_feature {
            feature.geometry.crs = feature.geometry.crs.or(bare.crs);
        } else {
            feature.geometry = Geometry { kind: feature.kind.clone(), ..bare };
        }
        Ok(feature)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Geometry<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Geometry<'a>, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Geometry<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a geometry")
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Geometry::default())
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Geometry::default())
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Geometry::default())
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Geometry::default())
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Geometry::default())
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(Geometry::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Self::Value, A::Error> {
                while values.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Geometry::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut geometry = Geometry::default();
                while let Some(key) = members.next_key::<Cow<'_, str>>()? {
                    match &*key {
                        "type" => geometry.kind = members.next_value::<Kept>()?.text(),
                        "coordinates" => geometry.coordinates = Some(members.next_value()?),
                        "geometries" => geometry.geometries = Some(members.next_value()?),
                        "crs" => geometry.crs = Some(members.next_value()?),
                        _ => drop(members.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(geometry)
            }
        }
        deserializer.deserialize_any(Members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_another_type_are_as_good_as_absent() {
        for odd in ["null", "3", "-3", "0.5", "true", "\"x\"", "[]", "[[{\"a\": 1}]]"] {
            let text = format!(
                r#"{{"type": {odd}, "id": {odd}, "geometry": {odd}, "properties": {odd}, "bbox": {odd}}}"#
            );
            let feature = Feature::read(&text, Tags::default()).unwrap();
            assert!(feature.is_feature && feature.geometry.kind.is_none(), "{text}");
            assert_eq!(Value::Object(feature.properties.0), serde_json::json!({}), "{text}");
        }
        for other in ["null", "3", "[]", "\"x\""] {
            assert!(Feature::read(other, Tags::default()).unwrap_err().is_data(), "{other}");
        }
    }

    #[test]
    fn the_last_of_equal_members_counts_and_depth_costs_nothing() {
        let (open, close) = ("[".repeat(10_000), "]".repeat(10_000));
        let text = format!(
            r#"{{"x": {open}{close}, "id": 1, "geometry": {{"type": "Point", "x": {open}{close}, "type": "Line",
            "coordinates": [1e999, "\ud800"]}}, "properties": {{"a": 1}}, "id": "b", "properties": {{"c": 2}}}}"#
        );
        let feature = Feature::read(&text, Tags::default()).unwrap();
        assert_eq!(feature.id, Some("b".into()));
        assert_eq!(feature.geometry.kind.as_deref(), Some("Line"));
        assert_eq!(feature.geometry.coordinates.unwrap().get(), "[1e999, \"\\ud800\"]");
        assert_eq!(Value::Object(feature.properties.0), serde_json::json!({"c": 2}));
    }

    #[test]
    fn a_geometry_may_stand_alone() {
        let text = r#"{"coordinates": [1, 2], "type": "Point"}"#;
        let feature = Feature::read(text, Tags::default()).unwrap();
        assert!(!feature.is_feature);
        assert_eq!(feature.geometry.kind.as_deref(), Some("Point"));
        assert_eq!(feature.geometry.coordinates.unwrap().get(), "[1, 2]");
    }
}
