//! The rule that a type's methods stand in the file of the type.

use super::rules::Finding;
use super::tokens::{Token, begins, closing, is, program};

/// Each inherent `impl` block of `text` whose type is defined in another file. An implementation of a trait may stand
/// anywhere, because it is looked for at the type or at the trait; and tests may add to a type what only they need.
pub(super) fn check_homes(path: &str, text: &str) -> Vec<Finding> {
    let tokens = program(text).tokens;
    let is_defined = |name: &str| {
        tokens.windows(2).any(|pair| {
            matches!(pair[0].text.as_str(), "struct" | "enum" | "union" | "trait") && pair[1].text == name
        })
    };
    let blocks = (0..tokens.len()).filter(|&at| is(&tokens, at, "impl") && begins(&tokens, at));
    blocks
        .filter_map(|at| Some((tokens[at].line, inherent(&tokens[at + 1..])?)))
        .filter(|(_, name)| !is_defined(name))
        .map(|(line, name)| Finding {
            path: path.to_string(),
            line,
            found: format!("impl {name}"),
            advice: "a type's methods stand in the file of the type: move them there, or make this a type of its own"
                .to_string(),
        })
        .collect()
}

/// The type whose own methods follow, of the tokens after `impl`; nothing if a trait is implemented.
fn inherent(tokens: &[Token]) -> Option<String> {
    let start = if is(tokens, 0, "<") { angle_close(tokens, 0) + 1 } else { 0 };
    let (mut name, mut at) = (None, start);
    while at < tokens.len() {
        let token = &tokens[at];
        match token.text.as_str() {
            "{" | "where" => return name,
            // A macro names the type when it is used.
            "for" | "$" => return None,
            "<" => at = angle_close(tokens, at),
            "(" | "[" => at = closing(tokens, at),
            "dyn" | "::" => {}
            _ if token.is_word() && (name.is_none() || is(tokens, at - 1, "::")) => {
                name = Some(token.text.clone())
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The index of the `>` that closes the `<` at `open`; that of an arrow closes nothing.
fn angle_close(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for at in open..tokens.len() {
        let arrow = at > 0 && (is(tokens, at - 1, "-") || is(tokens, at - 1, "="));
        match tokens[at].text.as_str() {
            "<" => depth += 1,
            ">" if !arrow => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len()
}

#[test]
fn methods_away_from_their_type_are_found() {
    for (text, found) in [
        ("use super::Store;\nimpl Store {\n}", Some("impl Store")),
        ("impl<'a, T: Fn() -> u8> super::queue::Queue<'a, T> {}", Some("impl Queue")),
        ("struct Other;\nimpl<T> Queue<T> where T: Copy {}", Some("impl Queue")),
        ("impl dyn Provider {}", Some("impl Provider")),
        ("#[cfg(not(test))]\nimpl Store {}", Some("impl Store")),
        ("pub(super) struct Store<'a> {}\nimpl<'a> Store<'a> {}", None),
        ("enum Kind { A }\nimpl Kind {}", None),
        ("trait Provider {}\nimpl dyn Provider {}", None),
        ("impl fmt::Display for super::Store {}", None),
        ("impl<T> From<Vec<T>> for Queue<T> {}", None),
        ("fn f(x: impl Fn(Store) -> u8) -> impl Copy { }", None),
        ("macro_rules! m { ($name:ident) => { impl $name {} } }", None),
        ("#[cfg(test)]\nmod tests {\n    impl Store {}\n}", None),
        ("// impl Store {}\nfn f() {}", None),
    ] {
        let findings = check_homes("src/x.rs", text);
        let founds: Vec<&str> = findings.iter().map(|finding| finding.found.as_str()).collect();
        assert_eq!(founds, found.into_iter().collect::<Vec<_>>(), "{text}");
    }
    assert_eq!(check_homes("src/x.rs", "\n\nimpl Store {}")[0].line, 3);
}
