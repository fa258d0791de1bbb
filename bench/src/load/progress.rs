//! A bar for people who wait; nothing for files and pipes.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shorter waits need no bar.
const WAIT_MIN: Duration = Duration::from_secs(2);

/// A bar over `length` steps on standard error, hidden unless that is a terminal and the wait is long.
pub fn bar(length: u64, expected: Duration) -> ProgressBar {
    let shown = expected >= WAIT_MIN && std::io::stderr().is_terminal();
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{elapsed_precise} [{wide_bar}] {pos}/{len} {msg}")
        .expect("the template is a constant")
        .progress_chars("=> ");
    ProgressBar::with_draw_target(Some(length), target).with_style(style)
}
