//! The words and signs of code, and which of them end up in the program: what only tests compile is left out.

use super::lexer::lex;

/// A word, `::`, or a single other sign.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) text: String,
    /// 1 for the first.
    pub(super) line: usize,
}

impl Token {
    pub(super) fn is_word(&self) -> bool {
        self.text.starts_with(is_word_char)
    }
}

/// The code of one file as tokens.
pub(super) struct Program {
    /// Without items that only tests compile. Empty if the file as a whole is such an item.
    pub(super) tokens: Vec<Token>,
    /// The files that this one declares as modules of tests: `#[cfg(test)] mod tests;`.
    pub(super) test_modules: Vec<String>,
}

/// Takes `text` apart, comments and literals left out.
pub(super) fn program(text: &str) -> Program {
    let tokens = tokens(&lex(text).code);
    let mut program = Program { tokens: Vec::new(), test_modules: Vec::new() };
    let mut at = 0;
    while at < tokens.len() {
        let inner = is(&tokens, at, "#") && is(&tokens, at + 1, "!");
        let open = at + 1 + usize::from(inner);
        if !is(&tokens, at, "#") || !is(&tokens, open, "[") {
            program.tokens.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let close = closing(&tokens, open);
        if !is_for_tests(&tokens[open + 1..close]) {
            program.tokens.extend_from_slice(&tokens[at..(close + 1).min(tokens.len())]);
            at = close + 1;
        } else if inner {
            program.tokens.clear();
            return program;
        } else {
            let end = item_end(&tokens, close + 1);
            let item = &tokens[close + 1..end];
            if let Some(name) = item.windows(3).find(|w| w[0].text == "mod" && w[2].text == ";") {
                program.test_modules.push(name[1].text.clone());
            }
            at = end;
        }
    }
    program
}

/// The index of what closes the bracket at `open`, or one past the end.
pub(super) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len()
}

/// Whether a token at `at` would begin an item or a statement.
pub(super) fn begins(tokens: &[Token], at: usize) -> bool {
    let starts = |before: &Token| matches!(before.text.as_str(), ";" | "{" | "}" | "]");
    at == 0 || starts(&tokens[at - 1])
}

/// Whether the token at `at` is `text`.
pub(super) fn is(tokens: &[Token], at: usize, text: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.text == text)
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for (at, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let len = match first {
                ':' if rest.starts_with("::") => 2,
                c if is_word_char(c) => rest.find(|c| !is_word_char(c)).unwrap_or(rest.len()),
                c => c.len_utf8(),
            };
            tokens.push(Token { text: rest[..len].to_string(), line: at + 1 });
            rest = rest[len..].trim_start();
        }
    }
    tokens
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// `test`, `cfg(test)`, `cfg(all(test, ..))`; but `cfg(not(..))` is compiled into the program.
fn is_for_tests(attribute: &[Token]) -> bool {
    let has = |word: &str| attribute.iter().any(|token| token.text == word);
    let first = attribute.first().map_or("", |token| token.text.as_str());
    first == "test" || first == "cfg" && has("test") && !has("not")
}

/// One past the end of the item that begins at `at`: its block, its `;`, or the `,` after a field or an arm.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    while is(tokens, at, "#") {
        at = closing(tokens, at + 1) + 1;
    }
    let word = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let named = if word(at) == "pub" && word(at + 1) == "(" { closing(tokens, at + 1) + 1 } else { at };
    let begins = if word(at) == "pub" && named == at { word(at + 1) } else { word(named) };
    let only_semicolon = matches!(begins, "use" | "let" | "static" | "type");
    let is_item = matches!(begins, "fn" | "mod" | "impl" | "struct" | "enum" | "const" | "trait" | "unsafe");
    while at < tokens.len() {
        match word(at) {
            ";" => return at + 1,
            "," if !only_semicolon && !is_item => return at + 1,
            // What encloses the item ends, and the item with it.
            "}" | ")" | "]" => return at,
            "{" if !only_semicolon => return closing(tokens, at) + 1,
            "(" | "[" | "{" => at = closing(tokens, at),
            _ => {}
        }
        at += 1;
    }
    at
}

#[test]
fn items_of_tests_are_left_out() {
    let words = |text: &str| {
        let texts: Vec<String> = program(text).tokens.into_iter().map(|token| token.text).collect();
        texts.join(" ")
    };
    assert_eq!(words("use a::b; // c\nf(\"d\")"), "use a :: b ; f ( )");
    assert_eq!(
        words("fn f() {}\n#[cfg(test)]\nmod tests { use x; mod y { } }\nfn g() {}"),
        "fn f ( ) { } fn g ( ) { }"
    );
    assert_eq!(words("#[cfg(test)]\nuse a::{b, c};\nd"), "d");
    assert_eq!(words("#[cfg(test)] #[allow(x)] pub(crate) fn f<A, B>(x: [u8; 3]) -> A { b } c"), "c");
    assert_eq!(words("struct S { #[cfg(test)] a: Vec<u8>, b: u8 }"), "struct S { b : u8 }");
    assert_eq!(
        words("#[cfg(all(test, feature = \"x\"))] mod m; #[cfg(not(test))] mod n;"),
        "# [ cfg ( not ( test ) ) ] mod n ;"
    );
    assert_eq!(words("#![cfg(test)]\nfn f() {}"), "");
    assert_eq!(program("#[cfg(test)]\nmod tests;\n#[cfg(test)]\nmod more { }").test_modules, ["tests"]);
    assert_eq!(program("a\n\nb").tokens[1].line, 3);
}
