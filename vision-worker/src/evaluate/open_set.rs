//! Who is this, if anybody we know? Half of the people, drawn by chance, are enrolled with one photograph each; the
//! others are strangers. A probe finds the person whose photograph it resembles most, if it does so from a threshold on.
//!
//! - FPIR: the share of strangers' photographs that find somebody.
//! - FNIR: the share of further photographs of enrolled people that do not find the right person, be it that the
//!   similarity is too low or that somebody else's is higher. A photograph without a face, or a person whose enrolled
//!   photograph has none, is a miss; a stranger's photograph without a face is left out.
//!
//! All strangers are probes at every size of the gallery. Drawing is repeated, and the figures are means over the draws.

use rayon::prelude::*;
use serde::Serialize;

use super::compare::{Embedding, dot};
use super::statistics::{Interval, Random, allowed, mean, percentile_interval, wilson};

/// Draws of who is enrolled.
pub const SPLITS: usize = 10;

/// Resamples of the people for an interval.
const RESAMPLES: usize = 1000;

/// Galleries of these sizes are tried, as far as there are many more people, and one of everybody who may be enrolled.
const SIZES: [usize; 3] = [100, 1000, 10_000];

const SEED: u64 = 0x6A7E_9057;

/// What a probe that cannot find its person scores: lower than any similarity.
const MISS: f32 = -2.0;

/// FNIR at a rate of false identifications.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// The rate that was asked for.
    pub fpir: f64,
    /// The mean over the splits.
    pub fnir: f64,
    /// 95 % confidence.
    pub interval: Interval,
    /// How the interval was made.
    pub interval_method: &'static str,
    /// The mean of the splits' thresholds.
    pub threshold: f64,
    /// Strangers' photographs that may find somebody, in the first split; 0 says that there are too few strangers to
    /// measure this rate, and the figure is that of a gallery which lets no stranger at all pass.
    pub false_alarms_allowed: u64,
}

/// The figures of one size of the gallery.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gallery {
    /// Enrolled people.
    pub size: usize,
    /// Photographs of enrolled people that look for them, the mean over the splits.
    pub mated_probes: f64,
    /// Photographs of strangers, the mean over the splits.
    pub strangers: f64,
    /// The share of mated probes whose best match is the right person, at no threshold.
    pub rank_one: f64,
    /// FNIR at each rate.
    pub points: Vec<Point>,
}

/// A probe's person and score.
type Probe = (usize, f32);

/// What the probes of one split score at one size.
struct Scores {
    /// The similarity to the right person, where nobody's is higher; else `MISS`.
    mated: Vec<Probe>,
    /// The highest similarity to anybody, by descending score.
    strangers: Vec<Probe>,
}

/// A gallery's photograph of a person: whose, which, and its place.
struct Split<'a> {
    embeddings: &'a [Option<Embedding>],
    people: &'a [Vec<usize>],
    /// Person and photograph, in the order of enrolment.
    enrolled: Vec<(usize, usize)>,
    strangers: Vec<usize>,
}

/// The figures by size of the gallery, ascending; none if there are fewer than two people, or nobody to find.
pub fn by_gallery(embeddings: &[Option<Embedding>], people: &[Vec<usize>], rates: &[f64]) -> Vec<Gallery> {
    let half = people.len() / 2;
    if half == 0 {
        return Vec::new();
    }
    let mut sizes: Vec<usize> = SIZES.into_iter().filter(|&size| size < half / 10 * 9).collect();
    sizes.push(half);
    let mut random = Random::new(SEED);
    let splits: Vec<Split> = (0..SPLITS).map(|_| Split::draw(embeddings, people, &mut random)).collect();
    // By split, then by size.
    let scores: Vec<Vec<Scores>> = splits.par_iter().map(|split| split.scores(&sizes)).collect();
    let gallery = |(index, &size)| {
        let scores: Vec<&Scores> = scores.iter().map(|split| &split[index]).collect();
        figures(size, &scores, people.len(), rates)
    };
    sizes.iter().enumerate().filter_map(gallery).collect()
}

impl<'a> Split<'a> {
    fn draw(embeddings: &'a [Option<Embedding>], people: &'a [Vec<usize>], random: &mut Random) -> Self {
        let order = random.order(people.len());
        let (enrolled, strangers) = order.split_at(people.len() / 2);
        let enrol = |&person: &usize| (person, people[person][random.below(people[person].len())]);
        let enrolled = enrolled.iter().map(enrol).collect();
        Self { embeddings, people, enrolled, strangers: strangers.to_vec() }
    }

    fn scores(&self, sizes: &[usize]) -> Vec<Scores> {
        let mut scores: Vec<Scores> =
            sizes.iter().map(|_| Scores { mated: Vec::new(), strangers: Vec::new() }).collect();
        for (place, &(person, enrolled)) in self.enrolled.iter().enumerate() {
            for &photograph in self.people[person].iter().filter(|&&photograph| photograph != enrolled) {
                let found = self.embeddings[photograph].as_ref().map(|probe| self.mated(place, probe, sizes));
                for (index, scores) in scores.iter_mut().enumerate().filter(|&(index, _)| place < sizes[index]) {
                    scores.mated.push((person, found.as_ref().map_or(MISS, |found| found[index])));
                }
            }
        }
        for &person in &self.strangers {
            let photographs = self.people[person].iter();
            for probe in photographs.filter_map(|&photograph| self.embeddings[photograph].as_ref()) {
                for (scores, highest) in scores.iter_mut().zip(self.highest(probe, sizes, None)) {
                    scores.strangers.push((person, highest));
                }
            }
        }
        for scores in &mut scores {
            scores.strangers.sort_by(|a, b| b.1.total_cmp(&a.1));
        }
        scores
    }

    /// At each size, the similarity to the person enrolled at `place`, if nobody else's is as high.
    fn mated(&self, place: usize, probe: &Embedding, sizes: &[usize]) -> Vec<f32> {
        let right = self.embeddings[self.enrolled[place].1].as_ref().map_or(MISS, |enrolled| dot(enrolled, probe));
        let others = self.highest(probe, sizes, Some(place));
        others.into_iter().map(|other| if right > other { right } else { MISS }).collect()
    }

    /// At each size, the highest similarity to anybody but the one enrolled at `without`.
    fn highest(&self, probe: &Embedding, sizes: &[usize], without: Option<usize>) -> Vec<f32> {
        let (mut highest, mut begun) = (MISS, 0);
        let up_to = |&size: &usize| {
            for (place, &(_, photograph)) in self.enrolled.iter().enumerate().take(size).skip(begun) {
                if let Some(enrolled) = &self.embeddings[photograph]
                    && without != Some(place)
                {
                    highest = highest.max(dot(enrolled, probe));
                }
            }
            begun = size;
            highest
        };
        sizes.iter().map(up_to).collect()
    }
}

/// The figures of one size; `None` if no split has anybody to find, or a stranger.
fn figures(size: usize, splits: &[&Scores], people: usize, rates: &[f64]) -> Option<Gallery> {
    let usable: Vec<&Scores> =
        splits.iter().copied().filter(|split| !split.mated.is_empty() && !split.strangers.is_empty()).collect();
    let over = |value: &dyn Fn(&Scores) -> f64| mean(&usable.iter().map(|split| value(split)).collect::<Vec<_>>());
    let ranked = |split: &Scores| split.mated.iter().filter(|probe| probe.1 > MISS).count() as f64;
    Some(Gallery {
        size,
        mated_probes: over(&|split| split.mated.len() as f64)?,
        strangers: over(&|split| split.strangers.len() as f64)?,
        rank_one: over(&|split| ranked(split) / split.mated.len() as f64)?,
        points: rates.iter().filter_map(|&fpir| point(fpir, &usable, people)).collect(),
    })
}

fn point(fpir: f64, splits: &[&Scores], people: usize) -> Option<Point> {
    let once = vec![1; people];
    let at: Vec<(f64, f64)> = splits.iter().filter_map(|split| fnir_at_fpir(split, fpir, &once)).collect();
    let fnir = mean(&at.iter().map(|&(fnir, _)| fnir).collect::<Vec<_>>())?;
    let (interval, interval_method) = interval(fpir, fnir, splits, people)?;
    Some(Point {
        fpir,
        fnir,
        interval,
        interval_method,
        threshold: mean(&at.iter().map(|&(_, threshold)| threshold).collect::<Vec<_>>())?,
        false_alarms_allowed: allowed(fpir, splits[0].strangers.len() as u64),
    })
}

/// Photographs of one person err together, so people are resampled, not photographs; the threshold is chosen anew each
/// time. Where nobody or everybody is missed, resampling shows no spread, and people are counted as trials instead.
fn interval(fpir: f64, fnir: f64, splits: &[&Scores], people: usize) -> Option<(Interval, &'static str)> {
    if fnir == 0.0 || fnir == 1.0 {
        let mut found: Vec<usize> = splits[0].mated.iter().map(|probe| probe.0).collect();
        found.dedup();
        let trials = found.len() as u64;
        return Some((wilson(if fnir == 0.0 { 0 } else { trials }, trials)?, "Wilson over people"));
    }
    let resample = |index: usize| {
        let mut random = Random::new(SEED ^ (index as u64 + 1));
        let mut weights = vec![0; people];
        (0..people).for_each(|_| weights[random.below(people)] += 1);
        let fnirs: Vec<f64> = splits.iter().filter_map(|split| Some(fnir_at_fpir(split, fpir, &weights)?.0)).collect();
        mean(&fnirs)
    };
    let resampled: Vec<f64> = (0..RESAMPLES).into_par_iter().filter_map(resample).collect();
    Some((percentile_interval(resampled)?, "bootstrap over people"))
}

/// FNIR, and the threshold just above the strangers' score that the rate does not allow any more; people count as often
/// as their weights say. `None` if nobody is left on either side.
fn fnir_at_fpir(scores: &Scores, fpir: f64, weights: &[u32]) -> Option<(f64, f64)> {
    let weight = |probes: &[Probe]| probes.iter().map(|&(person, _)| u64::from(weights[person])).sum::<u64>();
    let (mated, strangers) = (weight(&scores.mated), weight(&scores.strangers));
    if mated == 0 || strangers == 0 {
        return None;
    }
    let (allowed, mut alarms) = (allowed(fpir, strangers), 0);
    let mut threshold = MISS;
    for &(person, score) in &scores.strangers {
        alarms += u64::from(weights[person]);
        if alarms > allowed {
            threshold = score;
            break;
        }
    }
    let missed = scores.mated.iter().filter(|&&(_, score)| score <= threshold);
    let missed: u64 = missed.map(|&(person, _)| u64::from(weights[person])).sum();
    Some((missed as f64 / mated as f64, f64::from(threshold.next_up())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_lets_so_many_strangers_pass_and_no_more() {
        let strangers: Vec<Probe> = (0..100).map(|index| (0, 0.9 - index as f32 / 200.0)).collect();
        let scores = Scores { mated: vec![(1, 0.95), (1, 0.896), (1, 0.7), (1, MISS)], strangers };
        let weights = [1, 1];
        // One of 100 may pass, 0.9; the threshold is just above 0.895: 0.95 and 0.896 are found.
        let (fnir, threshold) = fnir_at_fpir(&scores, 1e-2, &weights).unwrap();
        assert_eq!(fnir, 0.5);
        assert!(threshold > 0.895 && threshold < 0.8951, "{threshold}");
        // None may pass: only 0.95 is found.
        let (fnir, threshold) = fnir_at_fpir(&scores, 1e-3, &weights).unwrap();
        assert_eq!(fnir, 0.75);
        assert!(threshold > 0.9 && threshold < 0.9001, "{threshold}");
        // All may pass: only what finds somebody else is missed.
        assert_eq!(fnir_at_fpir(&scores, 1.0, &weights).unwrap().0, 0.25);
        assert_eq!(fnir_at_fpir(&scores, 1.0, &[0, 1]), None);
    }

    #[test]
    fn a_person_who_weighs_double_counts_double() {
        let scores = Scores { mated: vec![(0, 0.9), (1, 0.1)], strangers: vec![(2, 0.5)] };
        assert_eq!(fnir_at_fpir(&scores, 0.0, &[1, 1, 1]).unwrap().0, 0.5);
        assert_eq!(fnir_at_fpir(&scores, 0.0, &[3, 1, 1]).unwrap().0, 0.25);
    }

    /// People whose photographs lie along an axis of their own.
    fn photographs(people: usize, each: usize) -> (Vec<Option<Embedding>>, Vec<Vec<usize>>) {
        let embedding = |person: usize| (0..people).map(|axis| f32::from(u8::from(axis == person))).collect();
        let embeddings = (0..people * each).map(|index| Some(embedding(index / each))).collect();
        let people = (0..people).map(|person| (person * each..(person + 1) * each).collect()).collect();
        (embeddings, people)
    }

    #[test]
    fn people_who_resemble_nobody_else_are_always_found() {
        let (embeddings, people) = photographs(8, 3);
        let found = by_gallery(&embeddings, &people, &[1e-2]);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].size, found[0].mated_probes, found[0].strangers), (4, 8.0, 12.0));
        assert_eq!((found[0].rank_one, found[0].points[0].fnir), (1.0, 0.0));
        assert_eq!(found[0].points[0].interval, wilson(0, 4).unwrap());
    }

    #[test]
    fn a_photograph_without_a_face_is_a_miss() {
        let (mut embeddings, people) = photographs(8, 3);
        // One of three photographs: if it is enrolled, two probes miss; if not, it misses itself.
        (0..8).for_each(|person| embeddings[person * 3] = None);
        let found = by_gallery(&embeddings, &people, &[1e-2]);
        assert!(found[0].points[0].fnir >= 0.5, "{:?}", found[0].points);
        assert_eq!((found[0].mated_probes, found[0].strangers), (8.0, 8.0));
    }

    #[test]
    fn one_person_is_no_gallery() {
        let (embeddings, people) = photographs(1, 3);
        assert_eq!(by_gallery(&embeddings, &people, &[1e-2]), []);
        // Two people with one photograph each: nobody to find.
        let (embeddings, people) = photographs(2, 1);
        assert_eq!(by_gallery(&embeddings, &people, &[1e-2]), []);
    }
}
