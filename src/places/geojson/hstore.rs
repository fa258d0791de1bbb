//! Keys and values as PostgreSQL writes them in a column of type hstore, and ogr2ogr in `other_tags`:
//! `"amenity"=>"cafe", "name"=>"The \"Hut\"", "x"=>NULL`.

/// The pairs of a text, those without a value left out; `None` if it is written in another way.
pub(super) fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, after_key) = word(rest)?;
        let (value, after_value) = word(after_key.trim_start().strip_prefix("=>")?.trim_start())?;
        pairs.extend(value.map(|value| (key.unwrap_or_default(), value)));
        rest = after_value.trim_start();
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start();
        }
    }
    Some(pairs)
}

/// The word that a text begins with, and what follows; the word is `None` if it is NULL.
fn word(text: &str) -> Option<(Option<String>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', '=']).unwrap_or(text.len());
        let word = text[..end].trim();
        let is_null = word.eq_ignore_ascii_case("null");
        return (!word.is_empty()).then(|| ((!is_null).then(|| word.to_owned()), &text[end..]));
    };
    let mut word = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((Some(word), &quoted[at + 1..])),
            '\\' => word.push(chars.next()?.1),
            c => word.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_read_with_their_escapes() {
        let read = |text| {
            let pairs = pairs(text)?;
            Some(pairs.iter().map(|(key, value)| format!("{key}:{value}")).collect::<Vec<_>>().join("|"))
        };
        let is = |text, expected: &str| assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        is(r#""amenity"=>"cafe","addr:city"=>"X, Y""#, "amenity:cafe|addr:city:X, Y");
        is(r#""a" => "The \"Hut\" \\ x=>y", "b"=>NULL , "c"=>"NULL""#, r#"a:The "Hut" \ x=>y|c:NULL"#);
        is("a=>1, bé=>two", "a:1|bé:two");
        is("", "");
        for other in
            ["a", "a, b", "\"a\"=>\"b", "\"a\"=\"b\"", "\"a\"=>\"b\" \"c\"=>\"d\"", "{}", "=>", "\"\\"]
        {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
