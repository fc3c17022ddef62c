//! The DET curve and the histogram of similarities as SVG files, without a plotting library.

use std::fmt::Write as _;

use super::statistics::{BINS, threshold};
use super::verification::Fold;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const SAME: &str = "#1b7837";
const DIFFERENT: &str = "#b2182b";

/// Bars of the histogram.
const BARS: usize = 128;

/// The curve shows rates from here to 1, on logarithmic axes.
const RATE_DECADES: f64 = 6.0;
const MISS_DECADES: f64 = 4.0;

/// False accepts against false rejects, over all thresholds. Failed pairs of one person are rejects.
pub fn det(pairs: &Fold) -> String {
    let (same, different) = (pairs.same.tail(), pairs.different.tail());
    let mut figure = Figure::new("Detection error trade-off", "false accept rate", "false reject rate");
    let x = |rate: f64| (rate.log10() / RATE_DECADES + 1.0).clamp(0.0, 1.0);
    let y = |rate: f64| (rate.log10() / MISS_DECADES + 1.0).clamp(0.0, 1.0);
    for exponent in 0..=RATE_DECADES as i32 {
        figure.tick_x(x(10_f64.powi(-exponent)), &format!("1e-{exponent}"));
    }
    for exponent in 0..=MISS_DECADES as i32 {
        figure.tick_y(y(10_f64.powi(-exponent)), &format!("1e-{exponent}"));
    }
    let (accepts, rejects) = (different[0] as f64, pairs.same_pairs() as f64);
    let points = same
        .iter()
        .zip(&different)
        .filter(|_| accepts > 0.0 && rejects > 0.0)
        .map(|(&same, &different)| (x(different as f64 / accepts), y((rejects - same as f64) / rejects)));
    figure.line(points, "#2166ac");
    figure.finish()
}

/// How often each similarity occurs, as a share of its own kind, and where the threshold lies.
pub fn similarities(pairs: &Fold, chosen: Option<f64>) -> String {
    let mut figure = Figure::new("Similarities", "cosine similarity", "share of the pairs of its kind");
    let kinds = [(&pairs.same, SAME, "one person"), (&pairs.different, DIFFERENT, "two people")];
    let share = |count: u64, total: u64| count as f64 / total.max(1) as f64;
    let bars = kinds.map(|(histogram, colour, name)| {
        let total = histogram.total();
        let shares: Vec<f64> = histogram.coarse(BARS).into_iter().map(|count| share(count, total)).collect();
        (shares, colour, format!("{name}: {total} pairs"))
    });
    let highest = bars.iter().flat_map(|(shares, ..)| shares).copied().fold(1e-9, f64::max);
    for tick in -4..=4 {
        figure.tick_x(f64::from(tick + 4) / 8.0, &format!("{}", f64::from(tick) / 4.0));
    }
    for tick in 0..=4 {
        let part = f64::from(tick) / 4.0;
        figure.tick_y(part, &format!("{:.1} %", 100.0 * part * highest));
    }
    for (row, (shares, colour, name)) in bars.iter().enumerate() {
        figure.bars(&shares.iter().map(|share| share / highest).collect::<Vec<_>>(), colour);
        figure.legend(row, name, colour);
    }
    if let Some(chosen) = chosen {
        let x = (chosen - threshold(0)) / (threshold(BINS) - threshold(0));
        figure.line([(x, 0.0), (x, 1.0)].into_iter(), "#444444");
        figure.legend(kinds.len(), &format!("threshold {chosen:.3}"), "#444444");
    }
    figure.finish()
}

/// A drawing with axes; places in it are 0 to 1 from its lower left corner.
struct Figure {
    svg: String,
}

impl Figure {
    fn new(title: &str, x: &str, y: &str) -> Self {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        let (middle_x, middle_y) = (place_x(0.5), place_y(0.5));
        push(
            &mut svg,
            format_args!("<text x=\"{middle_x}\" y=\"22\" text-anchor=\"middle\" font-size=\"15\">{title}</text>"),
        );
        push(
            &mut svg,
            format_args!("<text x=\"{middle_x}\" y=\"{}\" text-anchor=\"middle\">{x}</text>", HEIGHT - 10.0),
        );
        push(
            &mut svg,
            format_args!("<text transform=\"translate(16 {middle_y}) rotate(-90)\" text-anchor=\"middle\">{y}</text>"),
        );
        Self { svg }
    }

    fn tick_x(&mut self, x: f64, label: &str) {
        let (x, top, bottom) = (place_x(x), place_y(1.0), place_y(0.0));
        push(&mut self.svg, format_args!("<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"#dddddd\"/>"));
        let below = bottom + 18.0;
        push(&mut self.svg, format_args!("<text x=\"{x:.1}\" y=\"{below}\" text-anchor=\"middle\">{label}</text>"));
    }

    fn tick_y(&mut self, y: f64, label: &str) {
        let (y, left, right) = (place_y(y), place_x(0.0), place_x(1.0));
        push(&mut self.svg, format_args!("<path d=\"M{left} {y:.1}H{right}\" stroke=\"#dddddd\"/>"));
        let (x, y) = (left - 6.0, y + 4.0);
        push(&mut self.svg, format_args!("<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{label}</text>"));
    }

    /// A line through the points; those that fall on the same tenth of a pixel are drawn once.
    fn line(&mut self, points: impl Iterator<Item = (f64, f64)>, colour: &str) {
        let mut path = String::new();
        let mut last = String::new();
        for (x, y) in points {
            let point = format!("{:.1} {:.1}", place_x(x), place_y(y));
            if point != last {
                path.push_str(if path.is_empty() { "M" } else { "L" });
                path.push_str(&point);
                last = point;
            }
        }
        push(
            &mut self.svg,
            format_args!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"),
        );
    }

    fn bars(&mut self, heights: &[f64], colour: &str) {
        let mut path = format!("M{:.1} {:.1}", place_x(0.0), place_y(0.0));
        for (index, &height) in heights.iter().enumerate() {
            let right = place_x((index + 1) as f64 / heights.len() as f64);
            path.push_str(&format!("V{:.1}H{right:.1}", place_y(height)));
        }
        path.push_str(&format!("V{:.1}Z", place_y(0.0)));
        push(
            &mut self.svg,
            format_args!("<path d=\"{path}\" fill=\"{colour}\" fill-opacity=\"0.45\" stroke=\"{colour}\"/>"),
        );
    }

    fn legend(&mut self, row: usize, text: &str, colour: &str) {
        let (x, y) = (place_x(0.0) + 12.0, place_y(1.0) + 18.0 + 18.0 * row as f64);
        push(&mut self.svg, format_args!("<text x=\"{x}\" y=\"{y}\" fill=\"{colour}\">{text}</text>"));
    }

    fn finish(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }
}

fn push(svg: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(svg, "{element}").expect("this is a bug: a string takes every text");
}

fn place_x(x: f64) -> f64 {
    LEFT + x * (WIDTH - LEFT - RIGHT)
}

fn place_y(y: f64) -> f64 {
    HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_figures_can_be_drawn_of_any_pairs() {
        let mut some = Fold::default();
        for index in 0..1000 {
            some.add(true, Some(0.4 + index as f32 / 2500.0));
            some.add(false, Some(index as f32 / 2000.0));
        }
        some.add(true, None);
        for pairs in [some, Fold::default()] {
            for svg in [det(&pairs), similarities(&pairs, Some(0.4))] {
                assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
                assert!(svg.len() < 100_000, "{}", svg.len());
            }
        }
    }
}
