//! See `src/tests/fuzz/peer.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| proxyherd_fuzz::peer(data));
