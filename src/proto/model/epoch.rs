//! One life of a server's memory.

/// One life of a server's memory, drawn at random when the memory began: a neighbour that comes back with
/// another epoch has forgotten what it had received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of neighbours of the legacy dialect, who do not say one.
    pub(crate) const LEGACY: Epoch = Epoch(0);
}
