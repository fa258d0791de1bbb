//! What a provider's bytes mean when they come from no provider: from a recording, or from somebody who looks for
//! bytes that are taken wrongly.

use super::local::Local;
use super::request::Reply;
use super::{Answer, Choice, Places, PlacesError, catalogue, geojson, google, google_legacy, overpass};
use crate::proto::line::query::NearbyQuery;

/// The answer that a question about `near` would get from `choice`, if that replied with this HTTP status and body;
/// for [`Choice::File`], whatever its path, if `body` were what is in the file.
pub fn answer_in(
    choice: &Choice,
    near: &NearbyQuery,
    status: u16,
    body: Vec<u8>,
) -> Result<Answer, PlacesError> {
    let reply = |body| Reply::new(status, None, body);
    match choice {
        Choice::Catalogue => Local::new(catalogue::places(), "catalogue").nearby(near),
        Choice::File(_) => {
            let collection = geojson::from_bytes(&body).map_err(PlacesError::Garbage)?;
            Local::new(collection.places, "file").nearby(near)
        }
        Choice::Google => google::read(&reply(body)?).result,
        Choice::GoogleLegacy => google_legacy::read(reply(body)?).result,
        Choice::Overpass => overpass::read(near, &reply(body)?).result,
    }
}
