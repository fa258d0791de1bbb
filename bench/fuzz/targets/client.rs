//! See `src/tests/fuzz/client.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxyherd_fuzz::client(data));
