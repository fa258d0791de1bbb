//! Geography: distances on the ellipsoid, boxes of degrees, and an index by place. It knows no clients and no lines.

pub mod area;
pub mod spatial_index;
pub mod sphere;
