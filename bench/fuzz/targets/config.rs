//! See `src/tests/fuzz/config.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxyherd_fuzz::config(data));
