//! Rust text taken apart, so that a rule about code is not broken by a comment or a string that names it.

/// One file, twice, each time with everything else blanked; lines stay where they are.
pub(super) struct Lexed {
    /// The code, strings and character literals empty.
    pub(super) code: String,
    /// The text of the comments.
    pub(super) comments: String,
}

/// Takes `text` apart. Text that is not Rust gives some result, too.
pub(super) fn lex(text: &str) -> Lexed {
    let chars: Vec<char> = text.chars().collect();
    let mut lexed = Lexed { code: String::new(), comments: String::new() };
    let mut at = 0;
    while at < chars.len() {
        let (kind, len) = next(&chars, at);
        for &c in &chars[at..at + len] {
            let blank = if c == '\n' { '\n' } else { ' ' };
            lexed.code.push(if kind == Kind::Code { c } else { blank });
            lexed.comments.push(if kind == Kind::Comment { c } else { blank });
        }
        at += len;
    }
    lexed
}

#[derive(PartialEq)]
enum Kind {
    Code,
    Comment,
    Literal,
}

/// What begins at `at`, and its length, at least 1.
fn next(chars: &[char], at: usize) -> (Kind, usize) {
    let rest = &chars[at..];
    match rest {
        ['/', '/', ..] => (Kind::Comment, until(rest, |rest| rest[0] == '\n')),
        ['/', '*', ..] => (Kind::Comment, block_comment(rest)),
        ['"', ..] => (Kind::Literal, quoted(rest, '"')),
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => (Kind::Literal, quoted(rest, '\'')),
        ['r', '"' | '#', ..] if !continues_a_word(chars, at) => raw_string(rest),
        [..] => (Kind::Code, 1),
    }
}

/// Whether the `r` at `at` ends a word as in `for"`; the `br` of raw bytes is none.
fn continues_a_word(chars: &[char], at: usize) -> bool {
    let is_word = |back: usize| at >= back && (chars[at - back].is_alphanumeric() || chars[at - back] == '_');
    let bytes = at >= 1 && chars[at - 1] == 'b' && !is_word(2);
    is_word(1) && !bytes
}

fn until(rest: &[char], end: impl Fn(&[char]) -> bool) -> usize {
    (0..rest.len()).find(|&at| end(&rest[at..])).unwrap_or(rest.len())
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            [..] => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

fn raw_string(rest: &[char]) -> (Kind, usize) {
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return (Kind::Code, 1);
    }
    let mut end = vec!['"'];
    end.resize(1 + hashes, '#');
    let body = &rest[2 + hashes..];
    (Kind::Literal, (2 + hashes + until(body, |rest| rest.starts_with(&end)) + end.len()).min(rest.len()))
}

#[test]
fn comments_and_literals_are_told_from_code() {
    let source = r###"
let url = "https://a/b"; // a "comment" ' here
let c = '"'; let l: &'static str = r#"raw " //"#; /* a /* b */ c */ let d = br"\"; for"x" // '
let e = '\''; let s = "a \" // b
c"; r#type; end"###;
    let lexed = lex(source);
    let code: Vec<String> = lexed.code.lines().map(|line| line.split_whitespace().collect()).collect();
    let expected = ["", "leturl=;", "letc=;letl:&'staticstr=;letd=b;for", "lete=;lets=", ";r#type;end"];
    assert_eq!(code, expected);
    let comments: Vec<&str> = lexed.comments.lines().map(str::trim).collect();
    assert_eq!(comments[1], "// a \"comment\" ' here");
    assert!(comments[2].starts_with("/* a /* b */ c */") && comments[2].ends_with("// '"));
    assert_eq!(lexed.code.chars().count(), source.chars().count());
    for open in ["\"a", "'\\", "/*", "/* /*", "r#\"a", "r#", "'"] {
        assert_eq!(lex(open).code.chars().count(), open.chars().count());
    }
}
