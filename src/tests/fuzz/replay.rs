//! All that the fuzzer has kept, once more.

use std::fs;
use std::path::Path;

use super::{
    access, client, config, forget, framing, grammar, handshake, http, journal, mqtt, peer, places, proxy,
};

type Check = fn(&[u8]);

/// Every target with its name, which is that of its folder.
const TARGETS: [(&str, Check); 13] = [
    ("access", access::check),
    ("client", client::check),
    ("config", config::check),
    ("forget", forget::check),
    ("framing", framing::check),
    ("grammar", grammar::check),
    ("handshake", handshake::check),
    ("http", http::check),
    ("journal", journal::check),
    ("mqtt", mqtt::check),
    ("peer", peer::check),
    ("places", places::check),
    ("proxy", proxy::check),
];

/// The most bytes that all of the corpus may have: it is read by everybody who clones the project.
const CORPUS_BYTES_MAX: usize = 300_000;

#[test]
fn what_the_fuzzer_has_kept_still_holds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/fuzz/corpus");
    let mut bytes = 0;
    for (target, check) in TARGETS {
        let inputs = inputs(&root.join(target));
        assert!(inputs.len() > 10, "{target} has hardly any corpus");
        for (name, input) in inputs {
            bytes += input.len();
            // The name is all that a failure shows of an input that is not text.
            let outcome = std::panic::catch_unwind(|| check(&input));
            assert!(outcome.is_ok(), "{target}/{name} does not hold, see above");
        }
    }
    let folders = fs::read_dir(&root).unwrap().count();
    assert_eq!(folders, TARGETS.len(), "a folder of the corpus belongs to no target");
    assert!(bytes <= CORPUS_BYTES_MAX, "the corpus has {bytes} bytes");
}

/// The files of a folder in the order of their names, for the first to fail is the one that is shown.
fn inputs(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut inputs: Vec<(String, Vec<u8>)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).unwrap()))
        .collect();
    inputs.sort();
    inputs
}
