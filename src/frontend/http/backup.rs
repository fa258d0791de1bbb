//! A backup of the server while it runs, for admins: all that is stored goes out, and comes in by the one rule of
//! merging, so that nothing is undone by it.

use std::io;

use serde_json::json;

use super::access::Asker;
use super::asked::Asked;
use crate::frontend::connection::Shared;
use crate::member::turn::Host as _;
use crate::proto::http::backup::{Count, Lines};
use crate::proto::http::response::Response;
use crate::proto::store::digest::BUCKETS;

/// The bytes of a backup that are written at once: a reader that takes no more within --reply-time-max is cut off.
const WRITE_BYTES: usize = 16 * 1024;

/// The lines that are merged under one lock.
const LINES_AT_ONCE: usize = 256;

/// The most lines that are said to be refused, each with its number and a reason. All are counted.
const REFUSED_SHOWN_MAX: usize = 100;

/// All that is stored, a few records at a time.
///
/// It goes from record to record, and not through the change log: a client that reports all the time would always be
/// further on there.
pub(super) struct Export<'a> {
    shared: Shared<'a>,
    asker: String,
    count: Count,
}

impl<'a> Export<'a> {
    pub(super) fn begin(asked: &Asked<'a, '_>, asker: &Asker) -> Export<'a> {
        Export { shared: asked.shared, asker: asker.at(asked.remote), count: Count::default() }
    }

    /// Hands out all of it, and the last line if that is all indeed.
    ///
    /// # Errors
    /// Those of `send`.
    pub(super) fn run(&mut self, mut send: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let (member, open) = (self.shared.member, &self.shared.gate.open);
        member.metrics.log_connection(format_args!("an export begins: {} asked for it", self.asker));
        let (mut lines, mut out, mut next) = (Vec::new(), Vec::new(), Some(0));
        while let Some(from) = next {
            if open.is_stopping() {
                return Ok(());
            }
            lines.clear();
            next =
                member.read(|node| node.store().scan_buckets(&[true; BUCKETS], from, u64::MAX, &mut lines));
            for line in lines.split_inclusive(|&byte| byte == b'\n') {
                self.count.push(line, &mut out);
            }
            if next.is_none() {
                self.count.push_end(&mut out);
            }
            if next.is_none() || out.len() >= WRITE_BYTES {
                // What a crash could undo must not leave.
                if let Err(why) = member.persist(member.lsn()) {
                    log::warn!("an export is cut off, because reports {why}");
                    return Ok(());
                }
                send(&out)?;
                out.clear();
            }
        }
        let Count { clients, forgotten } = self.count;
        member.metrics.log_connection(format_args!(
            "{clients} clients and {forgotten} forgotten ones are exported: {} asked for it",
            self.asker
        ));
        Ok(())
    }
}

/// Merges a part of a backup. What is counted as applied or outdated is durable when the answer leaves.
pub(super) fn import(asked: &Asked<'_, '_>, asker: &Asker) -> Response {
    let member = asked.shared.member;
    let mut lines = Lines::of(asked.request.body);
    let (mut applied, mut outdated) = (0, 0);
    while lines.next(LINES_AT_ONCE) {
        match member.report(&mut lines, asked.remote) {
            Ok(became) => {
                applied += became.applied;
                outdated += became.outdated;
            }
            Err(why) => return Response::problem(503, &format!("reports {why}")).with("Retry-After", "5"),
        }
    }
    lines.refused.sort_unstable();
    let refused = lines.refused.len();
    let shown = lines.refused.iter().take(REFUSED_SHOWN_MAX);
    let shown: Vec<_> = shown.map(|(line, why)| json!({ "line": line, "why": why })).collect();
    member.metrics.log_connection(format_args!(
        "{} imports: {applied} lines applied, {outdated} outdated, {refused} refused",
        asker.at(asked.remote)
    ));
    Response::json(
        &json!({ "applied": applied, "outdated": outdated, "refused": refused, "refusals": shown }),
    )
}
