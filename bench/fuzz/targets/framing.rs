//! See `src/tests/fuzz/framing.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxyherd_fuzz::framing(data));
