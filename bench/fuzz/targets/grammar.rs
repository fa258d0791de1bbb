//! See `src/tests/fuzz/grammar.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxyherd_fuzz::grammar(data));
