//! Whatever a camera sends, some things never happen.

use std::collections::BTreeMap;

use crate::faces::{Camera, at, face, photograph, resident};
use gatepost_domain::id::ResidentId;
use gatepost_matching::{Embedding, MatchPolicy, Tracker, Verdict};
use jiff::Timestamp;
use proptest::prelude::*;

const RESIDENTS: u64 = 6;

/// Somebody in a frame; numbers from `RESIDENTS` on are strangers.
#[derive(Debug, Clone)]
struct Seen {
    person: u64,
    noise: f32,
    shot: u64,
    x: f32,
    quality: f32,
}

fn seen() -> impl Strategy<Value = Seen> {
    (0..RESIDENTS * 2, 0.0f32..2.0, any::<u64>(), 0.0f32..600.0, 0.0f32..1.0)
        .prop_map(|(person, noise, shot, x, quality)| Seen { person, noise, shot, x, quality })
}

/// Steps of time, some of them backwards or none, and who is in the frame.
fn frames() -> impl Strategy<Value = Vec<(i64, Vec<Seen>)>> {
    prop::collection::vec((-200i64..1_500, prop::collection::vec(seen(), 0..4)), 1..40)
}

/// How often a resident could rightly have been voted for so far.
fn count_votes(
    votes: &mut BTreeMap<ResidentId, u32>,
    templates: &[(ResidentId, Embedding)],
    seen: &Seen,
    policy: &MatchPolicy,
) {
    let shown = photograph(seen.person, seen.noise, seen.shot);
    for (resident, template) in templates {
        let alike = template.cosine(&shown).is_ok_and(|cosine| cosine >= policy.threshold - 1e-5);
        if alike && policy.is_usable(seen.quality) {
            *votes.entry(*resident).or_default() += 1;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn names_are_earned_and_tracks_speak_once(frames in frames()) {
        let mut camera = Camera::looking_for(0..RESIDENTS);
        let templates: Vec<_> = (0..RESIDENTS).map(|person| (resident(person), photograph(person, 0.0, 0))).collect();
        let mut votes = BTreeMap::new();
        let mut now = 0;
        for (step, people) in frames {
            now += step;
            for seen in &people {
                count_votes(&mut votes, &templates, seen, &camera.policy);
            }
            let before = camera.said.len();
            let faces = people.iter().map(|seen| face(photograph(seen.person, seen.noise, seen.shot), seen.x, seen.quality));
            camera.frame(now, faces.collect());
            for said in &camera.said[before..] {
                if let Verdict::Known { resident, similarity, margin } = said.verdict {
                    prop_assert!(votes.get(&resident).is_some_and(|votes| *votes >= camera.policy.frames_agreeing));
                    prop_assert!(similarity >= camera.policy.threshold && margin >= camera.policy.margin);
                    prop_assert!(said.faces >= camera.policy.frames_agreeing);
                }
                prop_assert!(said.first_seen <= said.seen_at);
            }
            prop_assert!(camera.tracker.len() <= Tracker::TRACKS_MAX);
        }
        camera.leave(now + 100_000);
        prop_assert!(camera.tracker.is_empty());

        let mut tracks: Vec<_> = camera.said.iter().map(|said| said.track).collect();
        tracks.sort();
        tracks.dedup();
        prop_assert_eq!(tracks.len(), camera.said.len());

        let mut named: BTreeMap<ResidentId, Timestamp> = BTreeMap::new();
        for said in &camera.said {
            if let Verdict::Known { resident, .. } = said.verdict
                && let Some(last) = named.insert(resident, said.seen_at)
            {
                prop_assert!(said.first_seen.duration_since(last) >= camera.policy.track_gap);
            }
        }
    }

    #[test]
    fn strangers_are_never_known(
        people in prop::collection::vec((1_000u64..1_000_000, 0.0f32..1.5, 0.0f32..1.0), 1..4),
        frames in 1i64..30,
    ) {
        let mut camera = Camera::looking_for(0..RESIDENTS);
        for shot in 0..frames {
            let faces = people.iter().enumerate().map(|(place, (person, noise, quality))| {
                face(photograph(*person, *noise, shot as u64), place as f32 * 100.0, *quality)
            });
            camera.frame(shot * 120, faces.collect());
        }
        for said in camera.leave(1_000_000) {
            prop_assert!(matches!(said.verdict, Verdict::Unknown | Verdict::LowQuality), "{:?}", said);
        }
    }

    #[test]
    fn one_passage_is_one_name(
        person in 0..RESIDENTS,
        noise in 0.0f32..0.7,
        steps in prop::collection::vec((40i64..2_900, -80.0f32..80.0), 4..30),
    ) {
        let mut camera = Camera::looking_for(0..RESIDENTS);
        let (mut now, mut x) = (0, 300.0);
        for (shot, (step, walked)) in steps.into_iter().enumerate() {
            now += step;
            x += walked;
            camera.frame(now, vec![face(photograph(person, noise, shot as u64), x, 0.8)]);
        }
        let said = camera.leave(now + 3_000);
        prop_assert_eq!(said.len(), 1, "{:?}", said);
        let right = matches!(said[0].verdict, Verdict::Known { resident: named, .. } if named == resident(person));
        prop_assert!(right, "{:?}", said);
        prop_assert!(said[0].seen_at <= at(now));
    }
}
