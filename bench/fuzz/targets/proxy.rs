//! See `src/tests/fuzz/proxy.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxyherd_fuzz::proxy(data));
