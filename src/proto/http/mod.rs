//! HTTP/1.1 as a server speaks it, and what phones send over it. Pure: bytes and values in, values and bytes out.
//!
//! Reading order: [`request`] (bytes to a request, with [`head`] and [`chunked`]), [`response`], [`form`] (what stands
//! in targets and forms), [`phones`] (what apps report, one file for each), [`reports`] (their updates),
//! [`share`] (links that end), [`track`] (where a client was).

pub mod backup;
pub mod chunked;
pub mod form;
pub mod head;
mod header_name;
pub mod phones;
pub mod reports;
pub mod request;
pub mod response;
pub mod share;
pub mod track;
