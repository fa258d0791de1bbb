//! See `src/tests/fuzz/journal.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxyherd_fuzz::journal(data));
