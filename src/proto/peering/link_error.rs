//! Why a link comes to nothing: errors of the neighbour at the other end.

use crate::proto::model::fields::ParseError;
use crate::proto::peering::grammar::PEER_VERSION;
use crate::proto::peering::noise;

/// Why a connection to a neighbour is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It does not answer in the dialect of neighbours.
    #[error("the answer is not understood: {0}")]
    NotAnAnswer(#[from] ParseError),
    /// It answers a question that was not asked.
    #[error("the answer does not belong here: run the same release on both servers")]
    OutOfPlace,
    /// Another server answers at the neighbour's address.
    #[error("another server answers there: compare the addresses in both herd files")]
    WrongServer,
    /// It has another secret than we, or none, or is another server; or what it said was changed on its way.
    #[error("{}: give both servers the same secret, herd file and release", noise::Differs)]
    Differs,
    /// It has closed the connection where it should answer the handshake, as an older release does.
    #[error("closed before answering: secret, herd or version differs?")]
    ClosedEarly,
    /// It refuses our greeting.
    #[error(
        "it refuses our HELLO (version {PEER_VERSION}): run the same release on both servers, give both the secret or \
         neither, and compare the links in both herd files"
    )]
    HelloRefused,
}
