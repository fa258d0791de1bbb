//! Changes that a link has passed without telling them, and that a crash of ours could bring back.
//!
//! A change that was overtaken is not told, for what overtook it will be. But while that is not kept, a crash undoes
//! it, and the older one, which the journal has, is true again. So a neighbour is not told that it has everything up
//! to there until what overtook it is kept: then a crash leaves that, with a greater number, to be told.

/// What one step of a walk came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// The position up to which everything has now been looked at.
    pub reached: u64,
    /// The lines that were copied.
    pub lines: usize,
    /// What was overtaken by a change with a greater number than the last that may be told.
    pub passed: Option<SupersededRange>,
}

/// The passed changes of one step of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupersededRange {
    /// The number of the first of them.
    first: u64,
    /// The greatest number of what has overtaken them.
    overtaken_by: u64,
}

/// The passed changes of a link.
#[derive(Debug, Default)]
pub(crate) struct Superseded(Vec<SupersededRange>);

impl SupersededRange {
    /// The changes `before` and one that comes after them.
    pub(crate) fn and(before: Option<SupersededRange>, number: u64, overtaken_by: u64) -> SupersededRange {
        let SupersededRange { first, overtaken_by: most } =
            before.unwrap_or(SupersededRange { first: number, overtaken_by });
        SupersededRange { first, overtaken_by: most.max(overtaken_by) }
    }
}

impl Superseded {
    /// The position up to which a neighbour has everything, whatever happens to us, when a walk has come to `reached`
    /// past these.
    pub(crate) fn safe(&self, reached: u64, passed: Option<SupersededRange>, kept: u64) -> u64 {
        let open = self.0.iter().chain(&passed).filter(|passed| passed.overtaken_by > kept);
        open.map(|passed| passed.first - 1).fold(reached, u64::min)
    }

    /// A walk has come past these.
    pub(crate) fn pass(&mut self, passed: Option<SupersededRange>, kept: u64) {
        self.0.retain(|passed| passed.overtaken_by > kept);
        self.0.extend(passed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_passed_counts_as_told_when_what_overtook_it_is_kept() {
        // The changes 5 and 6 were overtaken by 9 and 7.
        let passed = SupersededRange::and(Some(SupersededRange::and(None, 5, 9)), 6, 7);
        let mut hidden = Superseded::default();
        assert_eq!(hidden.safe(6, Some(passed), 6), 4);
        hidden.pass(Some(passed), 6);
        assert_eq!(hidden.safe(8, None, 8), 4);
        assert_eq!(hidden.safe(9, None, 9), 9);
        hidden.pass(None, 9);
        assert!(hidden.0.is_empty());
    }
}
