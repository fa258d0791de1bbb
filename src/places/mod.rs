//! Who is near a place: one small trait and one file per provider.
