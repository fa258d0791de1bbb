//! What phones report over HTTP, one file for each app, and one point of all of them.
//!
//! A status is a command to a phone: one that was understood must get 200, or its queue is blocked or lost. So a file
//! tells apart a request that is [`NotUnderstood`], and points that were understood and are of no use: these are left
//! out and counted. The apps' shapes and units are those of their sources, as `PROTOCOL.md` says.

pub mod encrypted;
pub mod friends;
pub mod gpslogger;
mod json;
pub mod overland;
pub mod owntracks;
pub mod point;
pub mod traccar;

pub use point::{Point, Useless};

/// The body or the parameters are in no shape of the app. The app must not take it for a success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotUnderstood(pub &'static str);

/// What a request comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The points, in their order.
    pub points: Vec<Point>,
    /// The points that are left out, and why the first one is.
    pub left_out: usize,
    /// Why the first of them is left out.
    pub why: Option<Useless>,
    /// Who sends the message, as a client's name, if it has no point that says so.
    sender: Option<String>,
    /// The message in Base64 that is to be decrypted and read, if it is encrypted.
    pub sealed: Option<String>,
}

impl Taken {
    /// Who sends them, as a client's name. Of use for apps that are told of friends: others may send several clients.
    pub fn sender(&self) -> Option<&str> {
        self.sender.as_deref().or_else(|| self.points.first().map(|point| &*point.client))
    }

    fn one(point: Result<Point, Useless>) -> Taken {
        let mut taken = Taken::default();
        taken.take(point);
        taken
    }

    fn take(&mut self, point: Result<Point, Useless>) {
        match point {
            Ok(point) => self.points.push(point),
            Err(why) => {
                self.left_out += 1;
                self.why = self.why.or(Some(why));
            }
        }
    }
}
