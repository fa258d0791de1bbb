//! Hostile clients: crowds that each misbehave in one way, and what becomes of everybody else meanwhile.
//!
//! | file | what lives there |
//! |---|---|
//! | `habit` | the ways to misbehave |
//! | `voice` | what a member of a crowd says, and what may be answered |
//! | `member` | one connection of a crowd |
//! | `count` | what has become of the connections of a crowd |
//! | `swarm` | the process that is a crowd |
//! | `crowd` | that process, seen from the one that measures |
//! | `honest` | fresh clients beside it, and one that stays |
//! | `watch` | memory of the server and of the kernel meanwhile, and what the kernel drops |
//! | `verdict` | what all that should be |

pub mod habit;
pub mod swarm;

pub(crate) mod count;
pub(crate) mod crowd;
pub(crate) mod honest;
pub(crate) mod verdict;
pub(crate) mod watch;

mod member;
mod voice;
