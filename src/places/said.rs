//! What a service says when it does not answer: in JSON as Google, Photon and others write it, in HTML as Overpass and
//! web servers do, or as plain text.

use serde_json::Value;

use super::error::PlacesError;

/// The most bytes of a plain text that are looked at: what is longer is no sentence.
const TEXT_BYTES_MAX: usize = 2_000;

/// Statuses that say of no error.
const FINE: [&str; 2] = ["OK", "ZERO_RESULTS"];

/// What Overpass puts before each of its errors.
const OVERPASS_MARK: &str = "Error</strong>:";

/// An error in the words of a service; what it does not say is empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// Its status as a number, like one of HTTP.
    pub(super) code: Option<u16>,
    /// Its status as a word: `RESOURCE_EXHAUSTED`.
    pub(super) status: String,
    pub(super) message: String,
    /// Whether it says that the key is wrong, which Google calls a wrong argument.
    pub(super) bad_key: bool,
}

impl Said {
    /// What the body of a refusal says.
    pub(super) fn of(text: &str) -> Said {
        let start = text.trim_start();
        if start.starts_with('{') || start.starts_with('[') {
            return Said::in_json(text).unwrap_or_default();
        }
        let message = if start.starts_with('<') { in_html(start) } else { in_text(start) };
        Said { message: PlacesError::words(&message), ..Said::default() }
    }

    /// The error in a JSON object; `None` if it says of none.
    pub(super) fn in_json(text: &str) -> Option<Said> {
        let mut value: Value = serde_json::from_str(text).ok()?;
        // Google's streaming interfaces send their error in a list.
        if let Some(first) = value.get_mut(0) {
            value = first.take();
        }
        let word = |value: &Value, key: &str| {
            let word = value.get(key).and_then(Value::as_str).filter(|word| !FINE.contains(word));
            word.map(PlacesError::words).unwrap_or_default()
        };
        let said = match value.get("error") {
            Some(error @ Value::Object(_)) => {
                let details = error.get("details").and_then(Value::as_array);
                Said {
                    code: error.get("code").and_then(Value::as_u64).and_then(|code| code.try_into().ok()),
                    status: word(error, "status"),
                    message: word(error, "message"),
                    bad_key: details.is_some_and(|all| {
                        all.iter().any(|detail| word(detail, "reason") == "API_KEY_INVALID") //
                    }),
                }
            }
            Some(Value::String(error)) => Said { message: PlacesError::words(error), ..Said::default() },
            _ => {
                let message = ["error_message", "message", "detail", "title"].map(|key| word(&value, key));
                let message = message.into_iter().find(|message| !message.is_empty()).unwrap_or_default();
                Said { status: word(&value, "status"), message, ..Said::default() }
            }
        };
        (said != Said::default() || value.get("error").is_some_and(|error| !error.is_null())).then_some(said)
    }
}

/// The errors of Overpass, or else the title.
fn in_html(text: &str) -> String {
    let until = |text: &str, end: &str| text.split(end).next().unwrap_or_default().trim().to_owned();
    let errors: Vec<String> = text.split(OVERPASS_MARK).skip(1).map(|error| until(error, "</p>")).collect();
    let text = if errors.is_empty() {
        text.split_once("<title>").map(|(_, title)| until(title, "</title>")).unwrap_or_default()
    } else {
        errors.join("; ")
    };
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")]
        .iter()
        .fold(text, |text, (entity, character)| text.replace(entity, character))
}

fn in_text(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX { text.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_whatever_form_they_come() {
        let case = |text: &str, status: &str, message: &str| {
            let said = Said::of(text);
            assert_eq!((said.status.as_str(), said.message.as_str()), (status, message), "{text}");
        };
        case(
            r#"{"error":{"code":429,"message":"slow\ndown","status":"RESOURCE_EXHAUSTED"}}"#,
            "RESOURCE_EXHAUSTED",
            "slow down",
        );
        case(
            r#"[{"error":{"message":"x","status":"INTERNAL","details":[null,{"reason":3}]}}]"#,
            "INTERNAL",
            "x",
        );
        case(r#"{"error":"no such thing"}"#, "", "no such thing");
        case(r#"{"error":{"message":null,"status":5,"code":"x"}}"#, "", "");
        case(r#"{"message":"missing search term 'q'"}"#, "", "missing search term 'q'");
        case(r#"{"status":"REQUEST_DENIED","error_message":"no key"}"#, "REQUEST_DENIED", "no key");
        case(
            include_str!("../tests/places/overpass-400.html"),
            "",
            r#"line 1: parse error: Unknown type "nwx""#,
        );
        case(include_str!("../tests/places/overpass-406.html"), "", "406 Not Acceptable");
        case(
            "<p><strong>Error</strong>: a &lt;b&gt;</p><p><strong>Error</strong>: c &amp;lt;</p>",
            "",
            "a <b>; c &lt;",
        );
        case("Too many requests\r\n", "", "Too many requests");
        for nothing in ["", "{}", "[]", "<html>", "{\"x\"", "{\"error\":null}", &"x".repeat(100_000)] {
            case(nothing, "", "");
        }
        assert_eq!(Said::in_json(r#"{"error":{}}"#), Some(Said::default()));
        assert_eq!(Said::in_json(r#"{"error":null,"elements":[]}"#), None);
    }
}
