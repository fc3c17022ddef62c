//! A plot of what was late by how much, as SVG.

use std::{fmt::Write as _, fs};

use gatepost_tests::benchmark::{folder, percentile};

const COLOURS: [&str; 3] = ["#c0392b", "#2471a3", "#1e8449"];
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
/// Left, top, right and bottom of what lies between the axes.
const FRAME: [f64; 4] = [60.0, 50.0, 740.0, 360.0];
/// Powers of ten milliseconds, from a tenth to a hundred seconds.
const DECADES: std::ops::RangeInclusive<i32> = -1..=5;
const POINTS: usize = 200;

/// Writes `target/bench/timers.svg`: for each curve, which share was at most how late.
pub fn lateness(title: &str, curves: &[(&str, &Vec<f64>)]) -> std::io::Result<()> {
    let [left, top, right, bottom] = FRAME;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{left}\" y=\"28\" font-size=\"16\">{title}: share that was at most so late</text>\n"
    );
    for decade in DECADES {
        let (x, label) = (x(10f64.powi(decade)), 10f64.powi(decade));
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.1} {top}V{bottom}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"{}\" \
             text-anchor=\"middle\">{label} ms</text>",
            bottom + 20.0
        );
    }
    for percent in [0, 25, 50, 75, 100] {
        let y = y(f64::from(percent) / 100.0);
        let _ = writeln!(
            svg,
            "<path d=\"M{left} {y:.1}H{right}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" \
             text-anchor=\"end\">{percent} %</text>",
            left - 8.0,
            y + 4.0
        );
    }
    for (number, ((name, late), colour)) in curves.iter().zip(COLOURS).enumerate() {
        let shares = (0..=POINTS).map(|point| point as f64 / POINTS as f64);
        let points: Vec<String> =
            shares.map(|share| format!("{:.1},{:.1}", x(percentile(late, share)), y(share))).collect();
        let text = bottom - 12.0 - 18.0 * number as f64;
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\
             <text x=\"{}\" y=\"{text}\" fill=\"{colour}\">{name}</text>",
            points.join(" "),
            left + 12.0
        );
    }
    svg.push_str("</svg>\n");
    let path = folder()?.join("timers.svg");
    fs::write(&path, svg)?;
    println!("written: {}", path.display());
    Ok(())
}

/// Logarithmic.
fn x(milliseconds: f64) -> f64 {
    let [left, _, right, _] = FRAME;
    let (first, last) = (f64::from(*DECADES.start()), f64::from(*DECADES.end()));
    let decade = milliseconds.max(1e-9).log10().clamp(first, last);
    left + (decade - first) / (last - first) * (right - left)
}

fn y(share: f64) -> f64 {
    let [_, top, _, bottom] = FRAME;
    bottom - share * (bottom - top)
}
