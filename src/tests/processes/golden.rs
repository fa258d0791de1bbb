//! The golden transcripts against real processes.

use crate::real::RealHerd;
use crate::transcripts::run::run;
use crate::transcripts::{each_transcript, transcript};

macro_rules! tests {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let transcript = transcript(stringify!($name)).unwrap();
            let names: Vec<&str> = transcript.servers.iter().map(String::as_str).collect();
            let links: Vec<_> = transcript.links.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
            let mut herd = RealHerd::start(&names, &links, &[]);
            let held = run(&transcript, &mut herd, usize::MAX);
            held.unwrap_or_else(|why| panic!("{}.txt:{why}", stringify!($name)));
        }
    )*};
}
each_transcript!(tests);
