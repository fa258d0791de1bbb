//! Words that clap does not understand, told in one sentence: its own text has many lines, and repeats what was typed.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::logging::Escaped;

/// What begins the lines of clap's text.
const ERROR: &str = "error: ";
const USAGE: &str = "Usage: ";
const TIP: &str = "tip: ";

/// A tip that helps with values only, and comes with every unknown option.
const TIP_FOR_VALUES: &str = "to pass '";

/// Whether it was asked for help or the version, or nothing at all was typed, which is answered with the help.
pub(super) fn is_help(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

/// What is wrong, the tips, and how it is used.
pub(super) fn sentence(mut error: clap::Error) -> String {
    // Line ends in what was typed would otherwise be taken for clap's.
    let typed: Vec<(ContextKind, ContextValue)> =
        error.context().map(|(kind, value)| (kind, escaped(value))).collect();
    for (kind, value) in typed {
        error.insert(kind, value);
    }
    let text = error.to_string();
    let hint = hint(&error, &text);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut sentence = String::new();
    for line in lines.take_while(|line| !line.starts_with("For more information")) {
        if let Some(usage) = line.strip_prefix(USAGE) {
            if let Some(hint) = hint {
                sentence.extend(["; ", hint]);
            }
            sentence.extend(["; usage: ", usage]);
        } else if let Some(tip) = line.strip_prefix(TIP) {
            if !tip.starts_with(TIP_FOR_VALUES) {
                sentence.extend(["; ", tip]);
            }
        } else {
            let space = if sentence.is_empty() { "" } else { " " };
            sentence.extend([space, line.strip_prefix(ERROR).unwrap_or(line)]);
        }
    }
    sentence
}

/// What clap cannot know of mistakes that are often made.
fn hint(error: &clap::Error, text: &str) -> Option<&'static str> {
    let typed = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(typed)) => typed.as_str(),
        _ => "",
    };
    let is_option = typed.starts_with('-');
    let (kind, is_at) = (error.kind(), |usage: &str| text.contains(usage));
    if kind == ErrorKind::InvalidSubcommand && !text.contains(TIP) {
        Some("a server is started by `proxyherd serve NAME`, and `proxyherd help` names all commands")
    } else if kind != ErrorKind::UnknownArgument {
        None
    } else if is_option && is_at("Usage: proxyherd <COMMAND>") {
        Some("options follow the command, as in proxyherd serve Alford --log-level debug")
    } else if matches!(typed, "IAMAT" | "WHATSAT") {
        Some("write iamat and whatsat in small letters here")
    } else if !is_option && is_at("Usage: proxyherd herd") {
        Some("--check FILE checks a herd file")
    } else {
        None
    }
}

fn escaped(value: &ContextValue) -> ContextValue {
    // Line ends are what matters here: the rest is escaped where the sentence is printed.
    let escaped = |text: &String| {
        let has_controls = text.contains(char::is_control);
        if has_controls { Escaped(text.as_bytes()).to_string() } else { text.clone() }
    };
    match value {
        ContextValue::String(text) => ContextValue::String(escaped(text)),
        ContextValue::Strings(texts) => ContextValue::Strings(texts.iter().map(escaped).collect()),
        ContextValue::None
        | ContextValue::Bool(_)
        | ContextValue::StyledStr(_)
        | ContextValue::StyledStrs(_)
        | ContextValue::Number(_)
        | _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::Raw;

    /// The sentence with which words are refused.
    fn usage_of(words: &[&str]) -> String {
        sentence(Raw::try_parse_from([&["proxyherd"], words].concat()).unwrap_err())
    }

    #[test]
    fn bad_usage_is_one_sentence() {
        for (words, expected) in [
            (
                &["serve"][..],
                "the following required arguments were not provided: <NAME>; usage: proxyherd serve <NAME>",
            ),
            (
                &["srve", "Alford"],
                "unrecognized subcommand 'srve'; a similar subcommand exists: 'serve'; usage: ",
            ),
            (
                &["serve", "A", "--connections-max", "10k"],
                "invalid value '10k' for '--connections-max <N>': it takes a whole",
            ),
            (
                &["serve", "A", "--log-level", "loud"],
                "invalid value 'loud' for '--log-level <LEVEL>' [possible values: off, ",
            ),
            (&["serve", "A", "B"], "unexpected argument 'B' found; usage: proxyherd serve"),
            (
                &["serve", "A", "--insecure", "--insecure"],
                "the argument '--insecure' cannot be used multiple times",
            ),
            (
                &["--log-level", "debug", "serve", "A"],
                "'serve --log-level' exists; options follow the command, as in",
            ),
            (
                &["Alford"],
                "'Alford'; a server is started by `proxyherd serve NAME`, and `proxyherd help` names all",
            ),
            (
                &["client", "A", "IAMAT", "kiwi", "+1+1"],
                "'IAMAT' found; write iamat and whatsat in small letters",
            ),
            (&["herd", "herd.toml"], "'herd.toml' found; --check FILE checks a herd file; usage: "),
            (&["serve", "--name", "A"], "unexpected argument '--name' found; usage: proxyherd serve"),
            (&["herd", "--list", "--check"], "the argument '--list' cannot be used with '--check [<FILE>]'"),
            (
                &["serve", "A", "--log-level", "a\nUsage: b\n\nFor more information"],
                "invalid value 'a\\nUsage: b\\n\\nFor more",
            ),
            (&["serve", "\u{1b}[31m", "--x\u{1b}]0;y\u{7}"], "unexpected argument '--x\\x1b]0;y\\x07' found"),
            (
                &["client", "whatsat", "a\nb", "1", "1"],
                "invalid value 'a\\nb' for '<CLIENT>': it must be a single word",
            ),
            (&["\u{202e}", "x"], "unrecognized subcommand"),
        ] {
            let sentence = usage_of(words);
            assert!(sentence.contains(expected), "{words:?}: {sentence}");
            assert!(
                !sentence.contains(char::is_control) && !sentence.contains("  "),
                "{words:?}: {sentence:?}"
            );
            assert!(!sentence.contains("For more information, try"), "{sentence}");
        }
    }
}
