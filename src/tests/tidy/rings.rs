//! The rules about which file may use which: no import ring inside a room, and the one way inside `proto`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::rules::Finding;
use super::uses::{Edge, edges};
use super::walls::LAYERS;

/// Each import ring of the crate in the folder `root`.
///
/// Siblings are what lies in one folder: its files, and each folder in it as a whole, because a reader opens a folder
/// as one thing. The folder's own `mod.rs` is a sibling, too: a child that uses what `mod.rs` defines, while `mod.rs`
/// uses the child, is a ring of two, because neither can be read without the other.
pub(super) fn check_rings(root: &str, files: &[(String, String)]) -> Vec<Finding> {
    let mut folders: BTreeMap<String, BTreeMap<(String, String), Edge>> = BTreeMap::new();
    for edge in edges(root, files) {
        let Some((folder, from, to)) = siblings(&edge) else { continue };
        // Between the rooms themselves stand the walls.
        if folder.len() > root.len() {
            folders.entry(folder).or_default().entry((from, to)).or_insert(edge);
        }
    }
    folders.iter().flat_map(|(folder, uses)| rings_of(folder, uses)).collect()
}

/// Each use of a file by one that belongs below it: see `LAYERS`.
pub(super) fn check_layers(root: &str, files: &[(String, String)]) -> Vec<Finding> {
    let place = |path: &str, folder: &str, layers: &[&str]| {
        let inside = path.strip_prefix(folder)?.strip_prefix('/')?;
        let part = inside.split('/').next()?.trim_end_matches(".rs");
        Some((layers.iter().position(|&layer| layer == part)?, part.to_string()))
    };
    let mut findings = Vec::new();
    for edge in edges(root, files) {
        for (folder, layers) in LAYERS {
            let (Some((from, user)), Some((to, used))) =
                (place(&edge.from, folder, layers), place(&edge.to, folder, layers))
            else {
                continue;
            };
            if to > from {
                findings.push(Finding {
                    path: edge.from.clone(),
                    line: edge.line,
                    found: format!("{user} -> {used}"),
                    advice: format!(
                        "`{user}` comes before `{used}`: move what both need down ({} is used)",
                        edge.to
                    ),
                });
            }
        }
    }
    findings
}

/// The innermost folder that has both files of `edge`, and what each is or lies in there.
fn siblings(edge: &Edge) -> Option<(String, String, String)> {
    let (from, to): (Vec<&str>, Vec<&str>) = (edge.from.split('/').collect(), edge.to.split('/').collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let entry = |parts: &[&str]| parts[common].trim_end_matches(".rs").to_string();
    let (a, b) = (entry(&from), entry(&to));
    // `store.rs` and the folder `store` are one thing.
    (a != b).then(|| (from[..common].join("/"), a, b))
}

fn rings_of(folder: &str, uses: &BTreeMap<(String, String), Edge>) -> Vec<Finding> {
    let nodes: BTreeSet<&str> = uses.keys().flat_map(|(from, to)| [from.as_str(), to.as_str()]).collect();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut findings = Vec::new();
    for &node in &nodes {
        let Some(ring) = shortest_ring(node, uses).filter(|_| !done.contains(node)) else { continue };
        // All that can reach this node and be reached from it hang together: one finding for all of them.
        let together: Vec<&str> = nodes
            .iter()
            .copied()
            .filter(|&other| {
                other == node || path(node, other, uses).is_some() && path(other, node, uses).is_some()
            })
            .collect();
        done.extend(&together);
        let edge = &uses[&(ring[0].to_string(), ring[1].to_string())];
        let among = if together.len() + 1 > ring.len() {
            format!(" ({} hang together: {})", together.len(), together.join(", "))
        } else {
            String::new()
        };
        findings.push(Finding {
            path: edge.from.clone(),
            line: edge.line,
            found: ring.join(" -> "),
            advice: format!(
                "files of {folder} use each other in a ring{among}: move what both need into a third"
            ),
        });
    }
    findings
}

/// A shortest way from `node` back to itself.
fn shortest_ring<'a>(node: &'a str, uses: &'a BTreeMap<(String, String), Edge>) -> Option<Vec<&'a str>> {
    path(node, node, uses)
}

/// A shortest way over at least one use from `from` to `to`.
fn path<'a>(from: &'a str, to: &'a str, uses: &'a BTreeMap<(String, String), Edge>) -> Option<Vec<&'a str>> {
    let mut ways = VecDeque::from([vec![from]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop_front() {
        let last = way[way.len() - 1];
        for (_, next) in uses.keys().filter(|(user, _)| user == last) {
            let further = [way.as_slice(), &[next.as_str()]].concat();
            if next == to {
                return Some(further);
            }
            if seen.insert(next) {
                ways.push_back(further);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|(path, text)| ((*path).to_string(), (*text).to_string())).collect()
    }

    fn rings(files: &[(&str, &str)]) -> Vec<String> {
        check_rings("src", &house(files)).into_iter().map(|finding| finding.found).collect()
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn rings_of_siblings_are_found() {
        let siblings = |a: &str, b: &str| {
            rings(&[("src/net/mod.rs", "mod a;\nmod b;"), ("src/net/a.rs", a), ("src/net/b.rs", b)])
        };
        assert_eq!(siblings("use super::b::B;", "use crate::net::a::A;"), ["a -> b -> a"]);
        assert_eq!(siblings("fn f() { super::b::g() }", "use super::{a::A, c};"), ["a -> b -> a"]);
        assert_eq!(siblings("use super::{b::{self, B as C}};", "use super::a;"), ["a -> b -> a"]);
        assert_eq!(siblings("use super::b::*;", "struct B(super::a::A);"), ["a -> b -> a"]);
        assert_eq!(siblings("mod inner { use super::super::b::B; }", "use super::a::A;"), ["a -> b -> a"]);
        assert_eq!(siblings("use super::b::B;", "fn f() {}"), NONE);
        assert_eq!(siblings("use super::b::B;", "#[cfg(test)]\nmod tests { use super::super::a::A; }"), NONE);
        assert_eq!(siblings("use super::b::B;", "#[cfg(test)]\nuse super::a::A;"), NONE);
        assert_eq!(siblings("use super::b::B;", "// super::a::A\npub(in crate::net::a) fn f() {}"), NONE);
        assert_eq!(siblings("use super::b::B;", "use std::net::a::A;\nfn f() { a::b() }"), NONE);
    }

    #[test]
    fn rings_name_all_that_hang_together() {
        let files = [
            ("src/net/a.rs", "\nuse super::b::B;"),
            ("src/net/b.rs", "use super::a::A;\nuse super::c::C;"),
            ("src/net/c.rs", "use super::d::D;"),
            ("src/net/d.rs", "use super::b::B;"),
            ("src/net/e.rs", "use super::a::A;"),
        ];
        let findings = check_rings("src", &house(&files));
        assert_eq!(findings.len(), 1);
        let found = (findings[0].path.as_str(), findings[0].line, findings[0].found.as_str());
        assert_eq!(found, ("src/net/a.rs", 2, "a -> b -> a"));
        assert!(findings[0].advice.contains("(4 hang together: a, b, c, d)"), "{}", findings[0].advice);
    }

    #[test]
    fn folders_are_siblings_as_a_whole() {
        let between = |user: &str| {
            rings(&[
                ("src/proto/mod.rs", ""),
                ("src/proto/line/mod.rs", ""),
                ("src/proto/store/mod.rs", ""),
                ("src/proto/line/session.rs", "use crate::proto::store::record::Record;"),
                ("src/proto/store/record.rs", "struct Record;"),
                ("src/proto/store/digest.rs", user),
            ])
        };
        assert_eq!(between("use super::super::line::session::Session;"), ["line -> store -> line"]);
        assert_eq!(between("use super::record::Record;"), NONE);
        assert_eq!(
            rings(&[("src/net/a.rs", "use crate::os::B;"), ("src/os/mod.rs", "use crate::net::a;")]),
            NONE
        );
    }

    #[test]
    fn a_mod_file_is_in_a_ring_only_if_it_uses_its_children() {
        let folder = |parent: &str, child: &str| {
            rings(&[("src/net/mod.rs", parent), ("src/net/a.rs", child), ("src/net/b.rs", "pub struct B;")])
        };
        let uses_parent = "use super::Net;";
        assert_eq!(folder("mod a;\nuse a::A;\npub struct Net(A);", uses_parent), ["a -> mod -> a"]);
        assert_eq!(folder("mod a;\npub struct Net(a::A);", uses_parent), ["a -> mod -> a"]);
        assert_eq!(folder("mod a;\npub use a::A;\npub struct Net(A);", uses_parent), ["a -> mod -> a"]);
        assert_eq!(folder("mod a;\npub use a::A;\npub struct Net;", uses_parent), NONE, "it re-exports only");
        assert_eq!(folder("mod a;\nmod b;\npub use b::B;\npub struct Net(a::A);", "use super::B;"), NONE);
        assert_eq!(folder("mod a;\nmod b;\npub use b::*;\npub struct Net(a::A);", "use super::B;"), NONE);
        assert_eq!(folder("mod a;\nmod b;\nuse b::B;\npub struct Net(a::A);", "use crate::net::B;"), NONE);
        assert_eq!(folder("mod a;\npub struct Net(a::A);", "#[cfg(test)]\nuse super::Net;"), NONE);
        let tests = [("src/net/mod.rs", "mod a;\npub struct Net(a::A);\n#[cfg(test)]\nmod tests;")];
        assert_eq!(
            rings(&[&tests[..], &[("src/net/a.rs", ""), ("src/net/tests.rs", uses_parent)]].concat()),
            NONE
        );
    }

    #[test]
    fn layers_are_used_downwards_only() {
        let layers = |path: &str, text: &str| -> Vec<String> {
            let files = [
                ("src/proto/mod.rs", "pub use line::session::Session;"),
                ("src/proto/model/mod.rs", ""),
                ("src/proto/line/mod.rs", ""),
                ("src/proto/peering/mod.rs", ""),
                ("src/proto/model/name.rs", "pub struct Name;"),
                ("src/proto/store/mod.rs", "pub struct Store;"),
                ("src/proto/node.rs", "pub struct Node;"),
                ("src/proto/line/session.rs", "pub struct Session;"),
                ("src/proto/peering/link.rs", "pub struct Link;"),
                (path, text),
            ];
            check_layers("src", &house(&files)).into_iter().map(|finding| finding.found).collect()
        };
        assert_eq!(layers("src/proto/model/time.rs", "use crate::proto::store::Store;"), ["model -> store"]);
        assert_eq!(
            layers("src/proto/store/record.rs", "fn f(n: crate::proto::node::Node) {}"),
            ["store -> node"]
        );
        assert_eq!(layers("src/proto/wal/record.rs", "use crate::proto::Session;"), ["wal -> line"]);
        assert_eq!(
            layers("src/proto/line/batch.rs", "use crate::proto::peering::link::Link;"),
            ["line -> peering"]
        );
        assert_eq!(
            layers("src/proto/line/batch.rs", "use super::super::peering::link;"),
            ["line -> peering"]
        );
        assert_eq!(layers("src/proto/peering/auth.rs", "use super::super::line::session;"), NONE);
        assert_eq!(
            layers("src/proto/line/batch.rs", "use super::session::Session;\nuse crate::proto::node;"),
            NONE
        );
        assert_eq!(layers("src/proto/peering/auth.rs", "use crate::proto::model::name::Name;"), NONE);
        assert_eq!(layers("src/server/mod.rs", "use crate::proto::Session;"), NONE);
    }
}
