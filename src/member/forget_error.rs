//! Why a client was not forgotten.

use super::group_commit::NotDurable;

/// Why a client was not forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForgetError {
    /// It is not known here.
    Unknown,
    /// It cannot be made durable now.
    NotDurable(NotDurable),
}
