//! `growth`: what merging costs a store of more and more clients, as the program `growth` measures it.

use std::io;

use super::bench::Bench;
use super::line::figures_of;
use super::results::{Point, Record};

/// The clients that come: some that fit into a cache, and as many as may.
const CLIENTS: [u32; 4] = [20_000, 1_000_000, 4_000_000, 10_000_000];

pub(super) fn run(bench: &mut Bench<'_>) -> io::Result<()> {
    for clients in CLIENTS {
        let program = bench.programs.join("growth");
        match figures_of(&program, &["--clients", &clients.to_string()]) {
            // Processor time of a single thread needs no other to be compared with.
            Ok(figures) => bench.keep(Record {
                variant: "threads".to_owned(),
                point: Point::from([("clients".to_owned(), clients.to_string())]),
                rounds: vec![figures],
                ..Record::default()
            })?,
            Err(why) => bench.skip("the growth of a store", &why)?,
        }
    }
    Ok(())
}
