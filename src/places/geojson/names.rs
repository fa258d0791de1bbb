//! What a feature is called and what kind of place it is, as the programs say it that write GeoJSON.

use serde_json::{Map, Value};

use crate::places::osm::{self, tag};
use crate::places::place::{GENERAL_TYPES, all_types};

/// The keys of a name, in the order in which they count. Their case does not matter.
const NAME_KEYS: [&str; 10] = [
    "name",
    // Overture; then the saved places of Google, of today and of before.
    "names.primary",
    "location.name",
    "location.business name",
    "title",
    "label",
    "name:en",
    "name_en",
    "int_name",
    "name:latin",
];

/// The keys of other names, which count if there is none in any language.
const OTHER_NAME_KEYS: [&str; 27] = [
    "official_name",
    "loc_name",
    "short_name",
    "alt_name",
    "old_name",
    "display_name",
    "displayname",
    "displayname.text",
    "full_name",
    "fullname",
    "long_name",
    "name_long",
    "place_name",
    "placename",
    "site_name",
    "stop_name",
    "station_name",
    "facility_name",
    "business_name",
    "business name",
    "nom",
    "nombre",
    "nome",
    "naam",
    "bezeichnung",
    "brand",
    "operator",
];

/// Names of a brand or an operator that are written one deeper.
const BRAND_KEYS: [&str; 3] = ["brand.names.primary", "brand.name", "operator.name"];

/// Words before `name` that make it the name of something else than the place.
const OTHER_NAMES: [&str; 24] = [
    "street", "road", "st", "city", "town", "county", "state", "country", "region", "district", "province",
    "user", "file", "layer", "class", "type", "first", "last", "owner", "contact", "host", "column", "field",
    "admin",
];

/// What people say of a place, as good as a name if there is no other: KML, GPX and uMap have it.
const REMARK_KEYS: [&str; 4] = ["cmt", "desc", "description", "comment"];

/// The most characters of a remark that count as a name.
const REMARK_CHARS_MAX: usize = 80;

/// The keys of a kind besides those of OpenStreetMap's: Overture, Geofabrik, Natural Earth, OpenMapTiles, GPX.
const KIND_KEYS: [&str; 10] = [
    "categories.primary",
    "basic_category",
    "category",
    "fclass",
    "subclass",
    "featurecla",
    "class",
    "kind",
    "type",
    "sym",
];

/// Keys that say with their values what a feature is: Photon, and Nominatim in its two forms.
const KEYS_AND_VALUES: [(&str, &str); 3] =
    [("osm_key", "osm_value"), ("category", "type"), ("class", "type")];

/// Words for what a feature is to a program, which is no kind of place.
const NO_KINDS: [&str; 15] = [
    "node",
    "way",
    "relation",
    "n",
    "w",
    "r",
    "feature",
    "point",
    "polygon",
    "multipolygon",
    "linestring",
    "boundary",
    "yes",
    "no",
    "unknown",
];

/// The most bytes of a kind: what is longer is a sentence.
const KIND_BYTES_MAX: usize = 40;

/// The keys of an ID, in the order in which they count.
const ID_KEYS: [&str; 7] = ["place_id", "@id", "osm_id", "osm_way_id", "full_id", "id", "osm_full_id"];

/// The keys of an address in one text, and those that count if OpenStreetMap's tags have none.
const ADDRESS_KEYS: [&str; 2] = ["vicinity", "address"];
const OTHER_ADDRESS_KEYS: [&str; 5] =
    ["location.address", "addresses.freeform", "full_address", "street_address", "formatted_address"];

/// The keys of a street, a number in it, and a town, as files of addresses have them.
const STREET_KEYS: [&str; 1] = ["street"];
const NUMBER_KEYS: [&str; 2] = ["number", "housenumber"];
const TOWN_KEYS: [&str; 3] = ["city", "town", "addresses.locality"];

/// What the properties of a feature say. The option `--places-name-field` gives `name_field`, in lower case.
pub(super) struct Described<'a> {
    tags: &'a Map<String, Value>,
    name_field: Option<&'a str>,
}

impl<'a> Described<'a> {
    pub(super) fn new(tags: &'a mut Map<String, Value>, name_field: Option<&'a str>) -> Described<'a> {
        for (key, value) in KEYS_AND_VALUES {
            if let Some((key, value)) = tag(tags, key).zip(tag(tags, value)) {
                tags.entry(key).or_insert(value.into());
            }
        }
        Described { tags, name_field }
    }

    /// The name, or what stands in for it.
    pub(super) fn name(&self) -> Option<String> {
        self.name_field
            .and_then(|field| self.first(&[field]))
            .or_else(|| self.known_name())
            .or_else(|| self.first(&BRAND_KEYS))
            .or_else(|| osm::kind(self.tags).map(in_words))
            .or_else(|| self.some_name())
            .or_else(|| self.other_kind().map(in_words))
            .or_else(|| self.remark())
            .or_else(|| self.street())
    }

    /// The name that it says itself to have.
    pub(super) fn known_name(&self) -> Option<String> {
        let own = self.first(&NAME_KEYS).or_else(|| self.in_a_language());
        own.or_else(|| self.first(&OTHER_NAME_KEYS))
    }

    pub(super) fn id(&self) -> Option<String> {
        self.first(&ID_KEYS)
    }

    /// A file may say its types itself, as an array or as a text with commas or semicolons.
    pub(super) fn types(&self) -> Vec<String> {
        match osm::value(self.tags, "types") {
            Some(Value::Array(words)) => all_types(words.iter().filter_map(Value::as_str)),
            Some(Value::String(words)) => {
                all_types(words.split([',', ';']).map(str::trim).filter(|word| !word.is_empty()))
            }
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {
                let types = osm::types(self.tags);
                if types == GENERAL_TYPES
                    && let Some(kind) = self.other_kind()
                {
                    return all_types([kind.as_str()]);
                }
                types
            }
        }
    }

    pub(super) fn vicinity(&self) -> Option<String> {
        let joined = |street: Option<String>| {
            let parts: Vec<String> = street.into_iter().chain(self.first(&TOWN_KEYS)).collect();
            (!parts.is_empty()).then(|| parts.join(", "))
        };
        self.first(&ADDRESS_KEYS)
            .or_else(|| osm::vicinity(self.tags))
            .or_else(|| self.first(&OTHER_ADDRESS_KEYS))
            .or_else(|| joined(self.street()))
    }

    /// Whether it is a saved place of a map service whose position the service does not know, which it writes as 0,
    /// 0.
    pub(super) fn is_saved_place(&self) -> bool {
        ["google_maps_url", "google maps url"].iter().any(|key| self.tags.contains_key(*key))
    }

    /// The keys of what it has, for those who look for the name among them.
    pub(super) fn keys(&self) -> String {
        let keys: Vec<&str> = self.tags.keys().map(String::as_str).take(8).collect();
        if keys.is_empty() { "it has none".to_owned() } else { keys.join(", ") }
    }

    fn first(&self, keys: &[&str]) -> Option<String> {
        keys.iter().find_map(|key| tag(self.tags, key))
    }

    /// A name in some language: `name:fr`, `name_zh-hant`, `names.common.fr`.
    fn in_a_language(&self) -> Option<String> {
        let prefixes = ["name:", "name_", "names.common."];
        let is_language = |words: &str| {
            let mut words = words.split(['-', '_']);
            words.next().is_some_and(|word| matches!(word.len(), 2 | 3))
                && words.all(|word| (2..=8).contains(&word.len()))
        };
        let fits = |key: &str| {
            let language = prefixes.iter().find_map(|prefix| key.strip_prefix(prefix));
            language.is_some_and(|words| {
                words.bytes().all(|byte| byte.is_ascii_alphabetic() || b"-_".contains(&byte))
                    && is_language(words)
            })
        };
        self.tags.keys().filter(|key| fits(key)).find_map(|key| tag(self.tags, key))
    }

    /// The name at a key that is the maker's own: `park_name`, `FACNAME`.
    fn some_name(&self) -> Option<String> {
        let fits = |key: &str| {
            let last = key.rsplit('.').next().unwrap_or_default();
            last.strip_suffix("name").is_some_and(|of| {
                let of = of.trim_end_matches(['_', '-', ' ', ':']);
                let word = of.rsplit(['_', '-', ' ', ':']).next().unwrap_or_default();
                !of.is_empty() && !OTHER_NAMES.contains(&word)
            })
        };
        let is_a_word = |name: &String| name.chars().any(char::is_alphabetic);
        self.tags.keys().filter(|key| fits(key)).find_map(|key| tag(self.tags, key).filter(is_a_word))
    }

    /// What it is, as others than OpenStreetMap say it, in a word as theirs are.
    fn other_kind(&self) -> Option<String> {
        let plain = |kind: String| kind.trim().to_lowercase().replace([' ', '-'], "_");
        let is_kind = |kind: &String| {
            kind.len() <= KIND_BYTES_MAX
                && kind.chars().any(char::is_alphabetic)
                && !NO_KINDS.contains(&kind.as_str())
        };
        KIND_KEYS.iter().find_map(|key| tag(self.tags, key).map(plain).filter(is_kind))
    }

    /// The first line of what is said of it.
    fn remark(&self) -> Option<String> {
        let remark = self.first(&REMARK_KEYS)?;
        let line = remark.lines().next().unwrap_or_default().trim();
        let is_short = line.chars().count() <= REMARK_CHARS_MAX && !line.starts_with('<');
        (is_short && !line.is_empty()).then(|| line.to_owned())
    }

    /// The address, where a file has the parts of addresses, as OpenAddresses does.
    fn street(&self) -> Option<String> {
        let street = self.first(&STREET_KEYS)?;
        Some(match self.first(&NUMBER_KEYS) {
            Some(number) => format!("{number} {street}"),
            None => street,
        })
    }
}

/// What a thing is, as people say it.
fn in_words(kind: String) -> String {
    kind.replace('_', " ")
}
