//! Which file uses which: paths in code, followed to the file that defines what they name.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::{Token, begins, closing, is, program};

/// One file that uses another.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Edge {
    pub(super) from: String,
    /// Where in `from`.
    pub(super) line: usize,
    pub(super) to: String,
}

/// Every use of one file by another, of the files of the crate whose root is in the folder `root`; what only tests
/// compile is left out.
///
/// A name that a file imports leads to where the name is defined, so `super::Link` is a use of `link.rs` if `mod.rs`
/// re-exports it from there, and a use of `mod.rs` only if `mod.rs` defines it. A `mod.rs` that declares its children
/// and re-exports what is theirs uses none of them; it does if it names something of theirs beyond that.
pub(super) fn edges(root: &str, files: &[(String, String)]) -> Vec<Edge> {
    let house = House::of(root, files);
    let mut edges: Vec<Edge> = Vec::new();
    for (name, module) in &house.modules {
        for used in &module.uses {
            let offered = used.public && module.is_folder() && house.is_below(name, used);
            if offered && !module.words.contains(used.bound()) {
                continue;
            }
            edges.extend(house.targets(used).into_iter().map(|to| module.edge(used.line, to)));
        }
    }
    edges.retain(|edge| edge.from != edge.to);
    edges.sort_by(|a, b| (&a.from, &a.to, a.line).cmp(&(&b.from, &b.to, b.line)));
    edges.dedup_by(|a, b| a.from == b.from && a.to == b.to);
    edges
}

/// `["proto", "store"]` of `crate::proto::store`.
type Name = Vec<String>;

/// The modules of a crate that end up in the program.
struct House {
    modules: BTreeMap<Name, Module>,
}

struct Module {
    path: String,
    uses: Vec<Used>,
    /// What is defined in this file, at any depth.
    defined: BTreeSet<String>,
    /// Every word outside of imports.
    words: BTreeSet<String>,
}

/// A path in the code, with the module in which it stands.
struct Used {
    base: Name,
    path: Vec<String>,
    line: usize,
    /// The name that an import binds: of a path in the middle of code none, of `use a::*` a star.
    binds: Option<String>,
    /// Whether it is a `pub use`.
    public: bool,
}

impl Used {
    fn bound(&self) -> &str {
        self.binds.as_deref().unwrap_or("")
    }
}

impl Module {
    fn is_folder(&self) -> bool {
        self.path.ends_with("/mod.rs") || self.path.ends_with("/lib.rs")
    }

    fn edge(&self, line: usize, to: &Module) -> Edge {
        Edge { from: self.path.clone(), line, to: to.path.clone() }
    }
}

impl House {
    fn of(root: &str, files: &[(String, String)]) -> House {
        let mut house = House { modules: BTreeMap::new() };
        let mut tests: Vec<Name> = Vec::new();
        for (path, text) in files {
            let Some(name) = module_name(root, path) else { continue };
            let program = program(text);
            for test in program.test_modules {
                tests.push([name.as_slice(), &[test]].concat());
            }
            house.modules.insert(name.clone(), Scan::new(name, &program.tokens).module(path));
        }
        house.modules.retain(|name, _| !tests.iter().any(|test| name.starts_with(test)));
        house
    }

    /// The files that `used` names.
    fn targets(&self, used: &Used) -> Vec<&Module> {
        let Some((name, item)) = self.walk(used) else { return Vec::new() };
        let glob = used.bound() == "*";
        match item {
            Some(item) => self.definer(&name, item, 0).into_iter().collect(),
            // All that a module offers may be meant: what it defines and what it re-exports.
            None if glob => {
                let module = &self.modules[&name];
                let offers = module.uses.iter().filter(|offer| offer.binds.is_some() && offer.public);
                let own = (!module.defined.is_empty()).then_some(module);
                own.into_iter().chain(offers.flat_map(|offer| self.targets(offer))).collect()
            }
            None => self.modules.get(&name).into_iter().collect(),
        }
    }

    /// Whether `used` names something of a module below `name`.
    fn is_below(&self, name: &Name, used: &Used) -> bool {
        self.walk(used).is_some_and(|(target, _)| target.starts_with(name) && target.len() > name.len())
    }

    /// The module that `used` leads to, and the item of it that it names; nothing for other crates.
    fn walk<'a>(&self, used: &'a Used) -> Option<(Name, Option<&'a str>)> {
        let (mut name, mut at) = (used.base.clone(), 0);
        match used.path.first()?.as_str() {
            "crate" => (name, at) = (Vec::new(), 1),
            "self" => at = 1,
            "super" => {
                while used.path.get(at).is_some_and(|part| part == "super") {
                    name.pop();
                    at += 1;
                }
            }
            first => {
                if !self.modules.contains_key(&[name.as_slice(), &[first.to_string()]].concat()) {
                    return None;
                }
            }
        }
        while let Some(part) = used.path.get(at) {
            let below = [name.as_slice(), std::slice::from_ref(part)].concat();
            if !self.modules.contains_key(&below) {
                break;
            }
            (name, at) = (below, at + 1);
        }
        let item = used.path.get(at).map(String::as_str).filter(|part| *part != "self");
        // A module written into a file belongs to the file.
        while !self.modules.contains_key(&name) {
            name.pop()?;
        }
        Some((name, item))
    }

    /// The module that defines `item`, which can be named in `name`.
    fn definer(&self, name: &Name, item: &str, depth: usize) -> Option<&Module> {
        // Imports may lead in a circle, as of two modules that re-export all of each other.
        const DEPTH_MAX: usize = 16;
        let module = self.modules.get(name)?;
        if depth > DEPTH_MAX {
            return Some(module);
        }
        let through = |used: &Used, item: Option<&str>| {
            let (name, last) = self.walk(used)?;
            match item.or(last) {
                Some(item) => self.definer(&name, item, depth + 1),
                None => self.modules.get(&name),
            }
        };
        if let Some(import) = module.uses.iter().find(|used| used.bound() == item) {
            return through(import, None).or(Some(module));
        }
        if module.defined.contains(item) {
            return Some(module);
        }
        let globs = module.uses.iter().filter(|used| used.bound() == "*");
        let mut found = globs.filter_map(|used| through(used, Some(item)));
        found.find(|module| module.defined.contains(item)).or(Some(module))
    }
}

/// The name of the module in the file `path`; nothing for what is not below `root`, and for the programs.
fn module_name(root: &str, path: &str) -> Option<Name> {
    let inside = path.strip_prefix(root)?.strip_prefix('/')?.strip_suffix(".rs")?;
    let mut name: Name = inside.split('/').map(str::to_string).collect();
    match name.last()?.as_str() {
        "mod" => drop(name.pop()),
        "lib" if name.len() == 1 => drop(name.pop()),
        "main" if name.len() == 1 => return None,
        _ => {}
    }
    Some(name)
}

/// A file read from its first token to its last.
struct Scan<'a> {
    tokens: &'a [Token],
    name: Name,
    /// The modules written into the file that are open, each with the index of its last token.
    open: Vec<(String, usize)>,
    uses: Vec<Used>,
    defined: BTreeSet<String>,
    words: BTreeSet<String>,
}

impl<'a> Scan<'a> {
    fn new(name: Name, tokens: &'a [Token]) -> Scan<'a> {
        let (uses, defined, words) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        Scan { tokens, name, open: Vec::new(), uses, defined, words }
    }

    fn module(mut self, path: &str) -> Module {
        let mut at = 0;
        while at < self.tokens.len() {
            self.open.retain(|(_, end)| *end > at);
            at = self.step(at);
        }
        Module { path: path.to_string(), uses: self.uses, defined: self.defined, words: self.words }
    }

    /// Takes in what begins at `at`, and says where the next thing begins.
    fn step(&mut self, at: usize) -> usize {
        let (tokens, token) = (self.tokens, &self.tokens[at]);
        let after = |text: &str| is(tokens, at + 1, text);
        match token.text.as_str() {
            // Who may see something is no use of it.
            "pub" if after("(") => return closing(tokens, at + 1) + 1,
            "use" if self.is_import(at) => return self.import(at),
            "mod" if is(tokens, at + 2, "{") => {
                self.open.push((tokens[at + 1].text.clone(), closing(tokens, at + 2)));
            }
            "mod" => return at + 2,
            "struct" | "enum" | "union" | "trait" | "type" | "fn" | "const" | "static" => {
                self.defined
                    .extend(tokens.get(at + 1).filter(|token| token.is_word()).map(|t| t.text.clone()));
            }
            "macro_rules" if after("!") => self.defined.extend(tokens.get(at + 2).map(|t| t.text.clone())),
            _ if token.is_word() => return self.path(at),
            _ => {}
        }
        at + 1
    }

    /// `use` also names what a closure of a return type captures: `-> impl Iterator + use<'a>`.
    fn is_import(&self, at: usize) -> bool {
        begins(self.tokens, at) || self.is_public(at)
    }

    fn is_public(&self, at: usize) -> bool {
        at > 0 && (is(self.tokens, at - 1, "pub") || is(self.tokens, at - 1, ")"))
    }

    fn path(&mut self, at: usize) -> usize {
        let (mut path, mut end) = (vec![self.tokens[at].text.clone()], at + 1);
        while is(self.tokens, end, "::") && self.tokens.get(end + 1).is_some_and(Token::is_word) {
            path.push(self.tokens[end + 1].text.clone());
            end += 2;
        }
        self.words.extend(path.iter().cloned());
        let absolute = at > 0 && is(self.tokens, at - 1, "::");
        if path.len() > 1 && !absolute {
            self.add(path, self.tokens[at].line, None, false);
        }
        end
    }

    /// Takes in the import at `at`, and says where it ends.
    fn import(&mut self, at: usize) -> usize {
        let public = self.is_public(at);
        self.tree(at + 1, &[], public) + 1
    }

    /// One tree of an import, such as `a::{b, c as d, e::*}` below `above`; gives where it ends.
    fn tree(&mut self, mut at: usize, above: &[String], public: bool) -> usize {
        let (tokens, mut path) = (self.tokens, above.to_vec());
        let line = tokens.get(at).map_or(0, |token| token.line);
        loop {
            let Some(token) = tokens.get(at) else { return at };
            match token.text.as_str() {
                "{" => {
                    let close = closing(tokens, at);
                    at += 1;
                    while at < close {
                        at = self.tree(at, &path, public) + 1;
                    }
                    return close + 1;
                }
                "," | ";" | "}" => break,
                "*" => {
                    self.add(path, line, Some("*".to_string()), public);
                    return at + 1;
                }
                "as" => {
                    let alias = tokens.get(at + 1).map_or(String::new(), |token| token.text.clone());
                    self.add(path, line, Some(alias), public);
                    return at + 2;
                }
                "::" => {}
                _ => path.push(token.text.clone()),
            }
            at += 1;
        }
        if path.len() > 1 && path.last().is_some_and(|part| part == "self") {
            path.pop();
        }
        if path.len() > above.len() || !above.is_empty() && path.len() == above.len() {
            let last = path.last().cloned();
            self.add(path, line, last, public);
        }
        at
    }

    fn add(&mut self, path: Vec<String>, line: usize, binds: Option<String>, public: bool) {
        let inline = self.open.iter().map(|(name, _)| name.clone());
        let base = self.name.iter().cloned().chain(inline).collect();
        self.uses.push(Used { base, path, line, binds, public });
    }
}
