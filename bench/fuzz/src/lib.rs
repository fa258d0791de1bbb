//! The properties of `src/tests/fuzz`, for the fuzzer. They name the rooms of the herd as their own crate does.

use proxyherd::config;
use proxyherd::frontend;
use proxyherd::net;
use proxyherd::places;
use proxyherd::proto;

#[path = "../../../src/tests/fuzz/mod.rs"]
mod properties;

macro_rules! targets {
    ($($target:ident)*) => {
        $(
            /// Panics if the properties of this name do not hold for the bytes.
            pub fn $target(data: &[u8]) {
                properties::$target::check(data);
            }
        )*
    };
}
targets!(access client config forget framing grammar handshake http journal mqtt peer places proxy);
