//! A figure with bars: a few figures for each of several names.

use std::path::Path;

use plotters::prelude::{ChartBuilder, IntoDrawingArea, PathElement, Rectangle, SVGBackend};
use plotters::style::Color as _;

use super::PlotError;
use super::axis::Axis;
use super::colour;
use super::lines::{draw_legend, number};
use crate::suite::spread::Spread;

const SIZE: (u32, u32) = (960, 420);
const LEGEND_WIDTH: u32 = 160;
const TEXT: u32 = 15;

/// A figure.
#[derive(Clone, Debug)]
pub(super) struct Bars {
    pub(super) title: String,
    /// What was measured, with its unit.
    pub(super) y: &'static str,
    /// What the bars of one name are.
    pub(super) kinds: Vec<String>,
    /// The names below the bars, and a bar for each kind.
    pub(super) groups: Vec<(String, Vec<Option<Spread>>)>,
}

impl Bars {
    /// Draws the figure into a file.
    pub(super) fn draw(&self, path: &Path) -> Result<(), PlotError> {
        self.try_draw(path)
            .map_err(|error| PlotError::Drawing { path: path.display().to_string(), why: error.to_string() })
    }

    fn try_draw(&self, path: &Path) -> Result<(), Box<dyn std::error::Error>> {
        let tallest = self.groups.iter().flat_map(|(_, bars)| bars.iter().flatten());
        let top = tallest.map(|bar| bar.max).fold(0.0, f64::max) * 1.08;
        if top <= 0.0 {
            return Ok(());
        }
        let root = SVGBackend::new(path, SIZE).into_drawing_area();
        let (area, legend) = root.split_horizontally(SIZE.0 - LEGEND_WIDTH);
        let places: Vec<f64> = (0..self.groups.len()).map(|at| at as f64).collect();
        let across = Axis { range: -0.6..self.groups.len() as f64 - 0.4, keys: places };
        let mut chart = ChartBuilder::on(&area)
            .caption(&self.title, colour::text(20))
            .margin(10)
            .x_label_area_size(34)
            .y_label_area_size(66)
            .build_cartesian_2d(across, 0.0..top)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(plotters::style::TRANSPARENT)
            .bold_line_style(colour::grid())
            .axis_style(colour::axis())
            .label_style(colour::text(TEXT))
            .axis_desc_style(colour::text(TEXT))
            .y_labels(7)
            .y_desc(self.y)
            .x_label_formatter(&|x| {
                self.groups.get(x.round() as usize).map_or(String::new(), |it| it.0.clone())
            })
            .y_label_formatter(&|y| number(*y))
            .draw()?;
        let width = 0.8 / self.kinds.len() as f64;
        for (at, (_, bars)) in self.groups.iter().enumerate() {
            for (kind, bar) in bars.iter().enumerate() {
                let Some(bar) = bar else { continue };
                let left = at as f64 - 0.4 + width * kind as f64;
                let colour = colour::of(&self.kinds[kind], kind);
                let corners = [(left, 0.0), (left + width * 0.92, bar.median.max(0.0))];
                chart.draw_series([Rectangle::new(corners, colour.mix(0.85).filled())])?;
                let middle = left + width * 0.46;
                let spread = vec![(middle, bar.min.max(0.0)), (middle, bar.max.max(0.0))];
                chart.draw_series([PathElement::new(spread, colour::axis())])?;
            }
        }
        let kinds: Vec<&str> = self.kinds.iter().map(String::as_str).collect();
        draw_legend(&legend, &kinds)?;
        root.present()?;
        Ok(())
    }
}
