//! Compresses the files of the page, so that the server has both forms of them at hand.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::{Compression, GzBuilder};

/// Where the files are, from the folder of the package.
const FOLDER: &str = "src/frontend/page";

fn main() {
    println!("cargo::rerun-if-changed={FOLDER}");
    let target = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where to"));
    for entry in fs::read_dir(FOLDER).expect("the folder of the page is there") {
        let path = entry.expect("the folder can be read").path();
        let name = path.file_name().expect("an entry has a name");
        let name = Path::new(name).with_added_extension("gz");
        let plain = fs::read(&path).expect("a file of the page can be read");
        fs::write(target.join(name), compressed(&plain)).expect("the build folder can be written");
    }
}

/// The same bytes for the same file: no name, no time and no system is in them.
fn compressed(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new().operating_system(255).write(Vec::new(), Compression::best());
    encoder.write_all(plain).expect("writing to memory cannot fail");
    encoder.finish().expect("writing to memory cannot fail")
}
