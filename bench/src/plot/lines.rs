//! A figure with lines: something measured over something chosen, each point with its spread.

use std::path::Path;

use plotters::prelude::{
    ChartBuilder, Circle, DrawingArea, IntoDrawingArea, LineSeries, PathElement, SVGBackend, Text,
};
use plotters::style::Color as _;

use super::PlotError;
use super::axis::Axis;
use super::colour;
use crate::suite::spread::Spread;

const SIZE: (u32, u32) = (860, 460);
const LEGEND_WIDTH: u32 = 160;
const TEXT: u32 = 16;

/// A line of a figure.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: String,
    /// Where, and what was measured there.
    pub(super) points: Vec<(f64, Spread)>,
}

/// A figure.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    pub(super) title: String,
    /// What was chosen, with its unit.
    pub(super) x: &'static str,
    /// What was measured, with its unit.
    pub(super) y: &'static str,
    /// Whether equal factors are equally far apart on the horizontal axis; on the vertical one they always are.
    pub(super) x_logarithmic: bool,
    pub(super) series: Vec<Series>,
}

impl Lines {
    /// Draws the figure into a file.
    pub(super) fn draw(&self, path: &Path) -> Result<(), PlotError> {
        self.try_draw(path)
            .map_err(|error| PlotError::Drawing { path: path.display().to_string(), why: error.to_string() })
    }

    fn try_draw(&self, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let x_of = |x: f64| if self.x_logarithmic { x.log10() } else { x };
        let mut xs: Vec<f64> = self.points().map(|(x, _)| x).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        let (Some(first), Some(last)) = (xs.first(), xs.last()) else { return Ok(()) };
        let margin = ((x_of(*last) - x_of(*first)) * 0.04).max(0.05);
        let across = (x_of(*first) - margin)..(x_of(*last) + margin);
        let x_keys: Vec<f64> = xs.iter().map(|x| x_of(*x)).collect();
        let y_min = self.points().map(|(_, y)| y.min).fold(f64::INFINITY, f64::min);
        let y_max = self.points().map(|(_, y)| y.max).fold(0.0, f64::max);
        let up = logarithmic(y_min, y_max);

        let root = SVGBackend::new(path, SIZE).into_drawing_area();
        let (area, legend) = root.split_horizontally(SIZE.0 - LEGEND_WIDTH);
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, colour::text(20))
            .margin(10)
            .x_label_area_size(46)
            .y_label_area_size(66)
            .build_cartesian_2d(Axis { range: across, keys: x_keys }, up)?;
        let x_logarithmic = self.x_logarithmic;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(plotters::style::TRANSPARENT)
            .bold_line_style(colour::grid())
            .axis_style(colour::axis())
            .label_style(colour::text(TEXT))
            .axis_desc_style(colour::text(TEXT))
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&|x| number(if x_logarithmic { 10_f64.powf(*x) } else { *x }))
            .y_label_formatter(&|y| number(10_f64.powf(*y)))
            .draw()?;
        for (at, series) in self.series.iter().enumerate() {
            let colour = colour::of(&series.name, at);
            let place = |(x, y): &(f64, Spread)| (x_of(*x), y.median.log10());
            chart.draw_series(LineSeries::new(series.points.iter().map(place), colour.stroke_width(2)))?;
            chart.draw_series(series.points.iter().map(|it| Circle::new(place(it), 3, colour.filled())))?;
            chart.draw_series(series.points.iter().map(|(x, y)| {
                let bar = vec![(x_of(*x), y.min.log10()), (x_of(*x), y.max.log10())];
                PathElement::new(bar, colour.mix(0.6).stroke_width(1))
            }))?;
        }
        let names: Vec<&str> = self.series.iter().map(|series| series.name.as_str()).collect();
        draw_legend(&legend, &names)?;
        root.present()?;
        Ok(())
    }

    fn points(&self) -> impl Iterator<Item = (f64, Spread)> {
        self.series.iter().flat_map(|series| series.points.iter().copied())
    }
}

/// Names beside the figure, each with its colour.
pub(super) fn draw_legend(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    names: &[&str],
) -> Result<(), Box<dyn std::error::Error>> {
    for (at, name) in names.iter().enumerate() {
        let y = 52 + 20 * at as i32;
        area.draw(&PathElement::new(vec![(4, y), (24, y)], colour::of(name, at).stroke_width(3)))?;
        area.draw(&Text::new((*name).to_owned(), (30, y - 7), colour::text(TEXT)))?;
    }
    Ok(())
}

/// Round numbers around `min` and `max`, and the range they span, as exponents of ten.
fn logarithmic(min: f64, max: f64) -> Axis {
    let steps = |wide: bool| -> Vec<f64> {
        let factors: &[f64] = if wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
        (-6..13).flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power))).collect()
    };
    let wide = max / min > 1e4;
    let steps = steps(wide);
    let below = steps.iter().rev().find(|step| **step <= min).copied().unwrap_or(min);
    let above = steps.iter().find(|step| **step >= max && **step > below).copied().unwrap_or(max);
    let keys = steps.iter().filter(|step| (below..=above).contains(*step)).map(|step| step.log10()).collect();
    Axis { range: below.log10()..above.log10(), keys }
}

/// A number as short as it can be.
pub(super) fn number(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", short(value / 1e6)),
        value if value >= 1e4 => format!("{}k", short(value / 1e3)),
        value => short(value),
    }
}

fn short(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers_around_what_is_shown() {
        let Axis { keys, range } = logarithmic(0.7, 3.0);
        let shown: Vec<String> = keys.iter().map(|key| number(10_f64.powf(*key))).collect();
        assert_eq!(shown, ["0.5", "1", "2", "5"]);
        assert_eq!((range.start, range.end), (0.5_f64.log10(), 5_f64.log10()));
        assert_eq!(number(160_000.0), "160k");
        assert_eq!(number(2_500_000.0), "2.5M");
        assert_eq!(number(1_000.0), "1000");
    }
}
