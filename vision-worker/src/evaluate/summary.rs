//! A report in a few lines for people. Whoever computes with it reads the JSON.

use std::fmt::{self, Display, Formatter};

use super::open_set::Gallery;
use super::report::{Counts, Report, Verification, WorstPair};

/// Worst pairs of each kind that are printed.
const WORST_PRINTED: usize = 3;

/// A share in percent, or that it is not known.
struct Percent(Option<f64>);

impl Display for Percent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(share) => write!(f, "{:.2} %", 100.0 * share),
            None => f.write_str("not measurable"),
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (counts, speed) = (&self.counts, &self.speed);
        writeln!(f, "model         {}", self.model)?;
        write!(f, "photographs   {} of {} people", counts.photographs, counts.people)?;
        writeln!(f, ", {} with several faces", counts.several_faces)?;
        write!(f, "failures      {}", self.failed.len())?;
        for (reason, count) in &self.failures {
            write!(f, ", {count} {reason:?}")?;
        }
        writeln!(f, "\nspeed         {:.1} photographs/s on {} threads", speed.photographs_per_second, speed.threads)?;
        let Counts { same_pairs, different_pairs, .. } = counts;
        writeln!(f, "pairs         {same_pairs} same, {different_pairs} different: {}", self.protocol.pairs)?;
        write!(f, "accuracy      {} ± {}", Percent(self.accuracy), Percent(self.accuracy_std))?;
        if let Some(threshold) = self.threshold {
            write!(f, ", threshold {threshold:.3}, chosen on {}", self.protocol.threshold_source)?;
        }
        writeln!(f)?;
        self.verification.iter().try_for_each(|point| verification(f, point))?;
        self.open_set.iter().try_for_each(|of| gallery(f, of))?;
        let worst = |pairs: &[WorstPair]| pairs.iter().take(WORST_PRINTED).cloned().collect::<Vec<_>>();
        for pair in worst(&self.worst_pairs.different) {
            writeln!(f, "most similar of two people   {:.3}  {}  {}", pair.similarity, pair.first, pair.second)?;
        }
        for pair in worst(&self.worst_pairs.same) {
            writeln!(f, "least similar of one person  {:.3}  {}  {}", pair.similarity, pair.first, pair.second)?;
        }
        Ok(())
    }
}

fn verification(f: &mut Formatter<'_>, point: &Verification) -> fmt::Result {
    let (low, high) = (Percent(Some(point.interval.low)), Percent(Some(point.interval.high)));
    write!(f, "TAR@FAR {:.0e}  {} ({low} to {high})", point.far, Percent(Some(point.tar)))?;
    write!(f, ", threshold {:.3}, which accepts {} of ", point.threshold, point.false_accepts)?;
    writeln!(f, "{} {}", point.false_pairs, point.impostors)
}

fn gallery(f: &mut Formatter<'_>, gallery: &Gallery) -> fmt::Result {
    write!(f, "gallery {:<5} rank one {}", gallery.size, Percent(Some(gallery.rank_one)))?;
    writeln!(f, ", {:.0} probes of enrolled people, {:.0} of strangers", gallery.mated_probes, gallery.strangers)?;
    for point in &gallery.points {
        let (low, high) = (Percent(Some(point.interval.low)), Percent(Some(point.interval.high)));
        write!(f, "  FNIR@FPIR {:.0e}  {} ({low} to {high}", point.fpir, Percent(Some(point.fnir)))?;
        write!(f, ", {}), threshold {:.3}", point.interval_method, point.threshold)?;
        writeln!(f, ", {} false alarms allowed", point.false_alarms_allowed)?;
    }
    Ok(())
}
