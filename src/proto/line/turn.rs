//! What a command is given, and what comes of it.

use crate::proto::line::batch::Batch;
use crate::proto::line::query::WhatsAt;
use crate::proto::line::reply_prefix::ReplyPrefix;
use crate::proto::model::time::Moment;

/// What a command may use.
pub(crate) struct Turn<'t> {
    /// The line as it came.
    pub(crate) line: &'t [u8],
    /// When it came in.
    pub(crate) received: Moment,
    /// The latest time that a report may have, if there is one.
    pub(crate) latest: Option<Moment>,
    /// The most bytes of a client's name in a report.
    pub(crate) client_name_bytes_max: usize,
    /// The beginning of our replies to reports.
    pub(crate) prefix: &'t ReplyPrefix,
    /// Where replies and updates go.
    pub(crate) batch: &'t mut Batch,
}

/// What the driver must do about a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step<'a> {
    /// Go on.
    Next,
    /// A question that needs the store and a provider.
    Ask(WhatsAt<'a>),
}
