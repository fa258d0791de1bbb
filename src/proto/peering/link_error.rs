//! Why a link comes to nothing: errors of the neighbour at the other end.

use crate::proto::model::fields::ParseError;

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
    /// It does not know the herd's secret, or we do not.
    #[error("wrong secret: it proves another than ours, give both servers the same one")]
    WrongProof,
    /// It says that we do not know the herd's secret.
    #[error("wrong secret: it refuses ours, give both servers the same one")]
    ProofRefused,
    /// It says that we have shown no secret.
    #[error("one of us has no secret: we have none, give this server the other's")]
    NoSecretHere,
}
