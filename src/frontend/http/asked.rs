//! A request, and what its answer needs.

use super::access::LastLogin;
use crate::frontend::connection::Shared;
use crate::member::conversation::Remote;
use crate::member::rate_limit::RateLimit;
use crate::proto::http::request::Request;
use crate::proto::model::time::Moment;

/// A request, and what its answer needs.
pub(super) struct Asked<'a, 'r> {
    /// What all connections share.
    pub shared: Shared<'a>,
    /// The other side.
    pub remote: Remote,
    /// The request.
    pub request: &'r Request<'r>,
    /// When it came in.
    pub received: Moment,
    /// The connection's limit of questions that leave this machine.
    pub rate_limit: &'r mut RateLimit,
    /// The last right login of the connection.
    pub last_login: &'r mut LastLogin,
}
