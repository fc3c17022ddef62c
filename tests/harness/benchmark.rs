//! What a benchmark found: ours beside a peer, measured in one run, as a ratio with its spread and its target.

use std::{fmt::Write as _, fs, path::PathBuf};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

/// What is wanted of a figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// Ours over the peer's is at least this.
    RatioAtLeast(f64),
    /// Ours over the peer's is at most this.
    RatioAtMost(f64),
    /// Ours is at least this, in the figure's unit.
    OursAtLeast(f64),
    /// Ours is at most this, in the figure's unit.
    OursAtMost(f64),
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Figure {
    what: String,
    unit: &'static str,
    ours: f64,
    peer: Option<f64>,
    ratio: Option<f64>,
    /// The least and the greatest ratio of the repeats; of ours where there is no peer.
    spread: [f64; 2],
    target: Option<Target>,
    /// The best that the machine allows, in the figure's unit.
    limit: Option<f64>,
}

impl Figure {
    /// Compares repeats that were measured in turns: the first of ours beside the first of the peer's, and so on.
    /// Reports the medians, and the median of the pairs' ratios.
    pub fn beside(
        what: impl Into<String>,
        unit: &'static str,
        ours: &[f64],
        peer: &[f64],
        target: impl Into<Option<Target>>,
    ) -> Self {
        assert_eq!(ours.len(), peer.len(), "this is a bug: every repeat has both");
        let ratios: Vec<f64> = ours.iter().zip(peer).map(|(ours, peer)| ours / peer).collect();
        Self {
            what: what.into(),
            unit,
            ours: median(ours),
            peer: Some(median(peer)),
            ratio: Some(median(&ratios)),
            spread: spread(&ratios),
            target: target.into(),
            limit: None,
        }
    }

    /// A figure that stands for itself.
    pub fn alone(what: impl Into<String>, unit: &'static str, ours: &[f64], target: Option<Target>) -> Self {
        Self {
            what: what.into(),
            unit,
            ours: median(ours),
            peer: None,
            ratio: None,
            spread: spread(ours),
            target,
            limit: None,
        }
    }

    /// The same beside the best that the machine allows, in the figure's unit.
    pub fn with_limit(self, limit: f64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// Whether the target is met, where there is one.
    pub fn met(&self) -> Option<bool> {
        Some(match self.target? {
            Target::RatioAtLeast(bound) => self.ratio? >= bound,
            Target::RatioAtMost(bound) => self.ratio? <= bound,
            Target::OursAtLeast(bound) => self.ours >= bound,
            Target::OursAtMost(bound) => self.ours <= bound,
        })
    }

    fn target(&self) -> Option<String> {
        Some(match self.target? {
            Target::RatioAtLeast(bound) => format!("ratio >= {bound}"),
            Target::RatioAtMost(bound) => format!("ratio <= {bound}"),
            Target::OursAtLeast(bound) => format!("ours >= {bound} {}", self.unit),
            Target::OursAtMost(bound) => format!("ours <= {bound} {}", self.unit),
        })
    }

    fn json(&self) -> Value {
        json!({
            "what": self.what, "unit": self.unit, "ours": self.ours, "peer": self.peer, "ratio": self.ratio,
            "spread": self.spread, "limit": self.limit, "target": self.target(), "met": self.met(),
        })
    }
}

/// Everything one benchmark found.
#[derive(Debug)]
pub struct Report {
    name: &'static str,
    figures: Vec<Figure>,
}

impl Report {
    /// Of the benchmark of this name.
    pub fn new(name: &'static str) -> Self {
        Self { name, figures: Vec::new() }
    }

    /// Adds a line.
    pub fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Ours of the line of this name.
    pub fn ours(&self, what: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.what == what).map(|figure| figure.ours)
    }

    /// The table, for people.
    pub fn table(&self) -> String {
        let widest = self.figures.iter().map(|figure| figure.what.chars().count()).max().unwrap_or(0);
        let mut table = format!(
            "{:widest$}  {:>12} {:>12} {:>9} {:>9}  {:<21} {:<22} met\n",
            self.name, "ours", "peer", "ratio", "limit", "spread", "target"
        );
        for figure in &self.figures {
            let peer = figure.peer.map_or_else(String::new, number);
            let ratio = figure.ratio.map_or_else(String::new, number);
            let limit = figure.limit.map_or_else(String::new, number);
            let spread = format!("{} to {}", number(figure.spread[0]), number(figure.spread[1]));
            let target = figure.target().unwrap_or_default();
            let met = figure.met().map_or("", |met| if met { "yes" } else { "NO" });
            let what = format!("{:widest$}", figure.what);
            let ours = format!("{} {}", number(figure.ours), figure.unit);
            let _ =
                writeln!(table, "{what}  {ours:>12} {peer:>12} {ratio:>9} {limit:>9}  {spread:<21} {target:<22} {met}");
        }
        table
    }

    /// Prints the table and writes `target/bench/NAME.json`.
    pub fn publish(&self) -> std::io::Result<()> {
        println!("\n{}", self.table());
        let figures: Vec<Value> = self.figures.iter().map(Figure::json).collect();
        let path = folder()?.join(format!("{}.json", self.name));
        fs::write(&path, format!("{:#}\n", Value::from(figures)))?;
        println!("written: {}", path.display());
        Ok(())
    }
}

/// Where benchmarks write: `target/bench` of the repository.
pub fn folder() -> std::io::Result<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs::create_dir_all(&folder)?;
    folder.canonicalize()
}

/// Seconds of CPU that this thread has had: what others do on the machine is not counted.
pub fn thread_cpu_seconds() -> f64 {
    seconds(ClockId::ThreadCPUTime)
}

/// Seconds of CPU that all threads of this process have had.
pub fn process_cpu_seconds() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let now = clock_gettime(clock);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

/// The middle one; of an even number, the mean of the two in the middle.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The value that this share of all values does not exceed: `share` 0.99 is the 99th percentile, by nearest rank.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

fn spread(values: &[f64]) -> [f64; 2] {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    [least, greatest]
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_repeats_that_belong_together() {
        let figure = Figure::beside("claim", "us", &[1.0, 8.0, 3.0], &[2.0, 8.0, 2.0], Target::RatioAtMost(1.0));
        assert_eq!((figure.ratio, figure.spread, figure.met()), (Some(1.0), [0.5, 1.5], Some(true)));
    }

    #[test]
    fn a_missed_target_is_told() {
        let mut report = Report::new("example");
        report.add(Figure::alone("late", "ms", &[12.0], Some(Target::OursAtMost(10.0))));
        assert!(report.table().contains("NO"), "{}", report.table());
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&values, 0.99), percentile(&values, 0.5), median(&values)), (99.0, 50.0, 50.5));
    }
}
