//! What the audience sees while the story is played: a bar over the chapters, and a line for everything that happens.

use gatepost_process::clock::SharedClock;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

/// Lines with the seconds since the beginning.
pub struct Progress {
    bar: ProgressBar,
    clock: SharedClock,
    begun: Timestamp,
}

impl Progress {
    /// Begins, with so many chapters ahead.
    pub fn begin(clock: SharedClock, chapters: u64) -> Self {
        let style = ProgressStyle::with_template("[{elapsed_precise}] {bar:24} {pos}/{len} {msg}");
        let bar = ProgressBar::new(chapters).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Progress { bar, begun: clock.now(), clock }
    }

    /// A chapter begins.
    pub fn chapter(&self, title: &str) {
        self.bar.set_message(title.to_owned());
        self.line(&format!("-- {title}"));
    }

    /// A chapter is over.
    pub fn chapter_over(&self) {
        self.bar.inc(1);
    }

    /// Something happened.
    pub fn say(&self, what: impl AsRef<str>) {
        self.line(&format!("   {}", what.as_ref()));
    }

    /// The story is over.
    pub fn end(&self) {
        self.bar.finish_and_clear();
    }

    /// Since the beginning.
    pub fn seconds(&self) -> f64 {
        self.clock.now().duration_since(self.begun).as_secs_f64()
    }

    fn line(&self, text: &str) {
        let at = self.seconds();
        // The bar steps aside, and is no bar at all where nobody looks at a terminal.
        self.bar.suspend(|| println!("{at:6.1} s {text}"));
    }
}
