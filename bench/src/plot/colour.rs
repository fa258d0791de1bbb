//! The colours of figures: one for each variant, the same in all of them.

use plotters::style::{Color, RGBColor, ShapeStyle, TextStyle};
use plotters::style::{FontFamily, FontStyle, IntoTextStyle};

/// Text and axes.
const INK: RGBColor = RGBColor(0x80, 0x87, 0x90);

/// The variants that are seen most, with colours that also those can tell apart who see few.
const OF_VARIANTS: [(&str, RGBColor); 16] = [
    ("threads", RGBColor(0xd9, 0x6b, 0x1f)),
    ("tokio", RGBColor(0x2f, 0x84, 0xd0)),
    ("tokio-current", RGBColor(0x6f, 0xa8, 0xdc)),
    ("tokio-2", RGBColor(0x3f, 0x6f, 0xb8)),
    ("tokio-textbook", RGBColor(0x7b, 0x78, 0xc8)),
    ("epoll", RGBColor(0x1f, 0x9e, 0x77)),
    ("epoll-2", RGBColor(0x4d, 0xb3, 0x92)),
    ("naive", RGBColor(0xc9, 0x9a, 0x2e)),
    ("single", RGBColor(0x9a, 0x7b, 0x5a)),
    ("echo", RGBColor(0x8c, 0x93, 0x9b)),
    ("echo-epoll", RGBColor(0x6a, 0x8f, 0x96)),
    ("twisted", RGBColor(0xc2, 0x4f, 0x8c)),
    ("asyncio", RGBColor(0x9b, 0x5f, 0xc0)),
    ("node", RGBColor(0x6e, 0x9b, 0x34)),
    ("redis", RGBColor(0xd0, 0x4a, 0x45)),
    ("memcached", RGBColor(0xb5, 0x6b, 0x63)),
];

/// The colour of a variant, or of the series number `at` if it is none.
pub(super) fn of(name: &str, at: usize) -> RGBColor {
    let known = OF_VARIANTS.iter().find(|(variant, _)| *variant == name);
    known.map_or(OF_VARIANTS[at % OF_VARIANTS.len()].1, |(_, colour)| *colour)
}

/// Text of a size in pixels.
pub(super) fn text(size: u32) -> TextStyle<'static> {
    (FontFamily::SansSerif, f64::from(size), FontStyle::Normal, &INK).into_text_style(&(1, 1))
}

/// Axes.
pub(super) fn axis() -> ShapeStyle {
    INK.stroke_width(1)
}

/// The grid behind the figures.
pub(super) fn grid() -> ShapeStyle {
    INK.mix(0.25).stroke_width(1)
}
