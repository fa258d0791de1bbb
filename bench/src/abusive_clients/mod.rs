//! Abusive clients: fleets that each misbehave in one way, and what everybody else notices of them.
//!
//! | file | what lives there |
//! |---|---|
//! | `behaviour` | the ways to misbehave |
//! | `script` | what a client of a fleet says, and what may be answered |
//! | `client` | one connection of a fleet |
//! | `count` | what has become of the connections of a fleet |
//! | `fleet` | the process that is a fleet |
//! | `fleet_process` | that process, seen from the one that measures |
//! | `neighbour` | a neighbour that must get in all the same |
//! | `probe` | well-behaved clients beside it: fresh ones, and one that stays |
//! | `watch` | memory of the server and of the kernel meanwhile, and what the kernel drops |
//! | `verdict` | what all that should be |

pub mod behaviour;
pub mod fleet;

pub(crate) mod count;
pub(crate) mod fleet_process;
pub(crate) mod neighbour;
pub(crate) mod probe;
pub(crate) mod script;
pub(crate) mod verdict;
pub(crate) mod watch;

mod client;
