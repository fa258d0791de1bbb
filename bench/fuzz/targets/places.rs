//! See `src/tests/fuzz/places.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxyherd_fuzz::places(data));
