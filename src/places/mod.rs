//! Stub.
use crate::proto::search::Nearby;
#[derive(Clone)]
pub struct Answer(std::sync::Arc<str>);
impl Answer {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct PlacesError;
impl PlacesError {
    pub fn to_answer(&self) -> Answer {
        Answer("{\"results\":[]}".into())
    }
}
pub trait Places: Send + Sync {
    fn nearby(&self, near: &Nearby) -> Result<Answer, PlacesError>;
    fn may_wait(&self) -> bool;
    fn stop(&self);
}
