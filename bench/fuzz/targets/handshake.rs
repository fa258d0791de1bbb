//! See `src/tests/fuzz/handshake.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxyherd_fuzz::handshake(data));
