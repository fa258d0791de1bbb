//! See `src/tests/fuzz/mqtt.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxyherd_fuzz::mqtt(data));
