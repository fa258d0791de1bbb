//! See `src/tests/fuzz/forget.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxyherd_fuzz::forget(data));
