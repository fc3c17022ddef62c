//! People walking past a camera, as its tracker sees them.

use crate::faces::{Camera, at, between, face, photograph, resident};
use gatepost_matching::{
    Embedding, EmbeddingError, LivenessCheck, ModelId, ObservedFace, TrackVerdict, Tracker, Verdict,
};

const ADA: u64 = 1;
const BEN: u64 = 2;
const CLEO: u64 = 3;
const STRANGER: u64 = 77;

fn names(said: &[TrackVerdict]) -> Vec<gatepost_domain::id::ResidentId> {
    said.iter()
        .filter_map(|said| match said.verdict {
            Verdict::Known { resident, .. } => Some(resident),
            Verdict::NotLive { .. } | Verdict::Ambiguous | Verdict::Unknown | Verdict::LowQuality => None,
        })
        .collect()
}

fn verdicts(said: &[TrackVerdict]) -> Vec<Verdict> {
    said.iter().map(|said| said.verdict).collect()
}

#[test]
fn a_dozen_frames_of_one_passage_name_the_resident_once() {
    let mut camera = Camera::looking_for([ADA, BEN, CLEO]);
    for shot in 0..12 {
        camera.frame(shot * 100, vec![face(photograph(ADA, 0.7, shot as u64), shot as f32 * 20.0, 0.8)]);
    }
    let said = camera.leave(60_000);
    assert_eq!(names(&said), [resident(ADA)]);
    assert_eq!(said.len(), 1);
    let Verdict::Known { similarity, margin, .. } = said[0].verdict else { unreachable!() };
    assert!(similarity > 0.7 && margin > 0.3, "{similarity} {margin}");
    assert_eq!((said[0].first_seen, said[0].seen_at, said[0].faces), (at(0), at(100), 2));
    assert!(camera.tracker.is_empty());
}

#[test]
fn a_stranger_is_unknown_once_and_nothing_is_kept() {
    let mut camera = Camera::looking_for([ADA, BEN, CLEO]);
    for shot in 0..12 {
        camera.frame(shot * 100, vec![face(photograph(STRANGER, 0.5, shot as u64), 10.0, 0.9)]);
        assert!(camera.said.is_empty());
    }
    assert_eq!(camera.tracker.next_expiry(&camera.policy), Some(at(1_100 + 3_000)));
    camera.leave(1_100 + 2_999);
    assert_eq!(camera.tracker.len(), 1);
    assert_eq!(verdicts(&camera.leave(1_100 + 3_000)), [Verdict::Unknown]);
    assert!(camera.tracker.is_empty());
    assert_eq!(camera.tracker.next_expiry(&camera.policy), None);
}

#[test]
fn two_people_who_cross_are_each_named_once() {
    let mut camera = Camera::looking_for([ADA, BEN, CLEO]);
    for shot in 0..12u64 {
        let way = shot as f32 * 30.0;
        let faces =
            vec![face(photograph(ADA, 0.8, shot), way, 0.8), face(photograph(BEN, 0.8, shot), 330.0 - way, 0.7)];
        camera.frame(shot as i64 * 100, faces);
    }
    assert_eq!(camera.tracker.len(), 2);
    let mut named = names(&camera.leave(60_000));
    named.sort();
    assert_eq!(named, [resident(ADA), resident(BEN)]);
    assert_eq!(camera.said.len(), 2);
}

#[test]
fn one_frame_decides_nothing_unless_the_policy_says_so() {
    let passage = |frames_agreeing| {
        let mut camera = Camera::looking_for([ADA]);
        camera.policy.frames_agreeing = frames_agreeing;
        camera.frame(0, vec![face(photograph(ADA, 0.1, 0), 10.0, 1.0)]);
        verdicts(&camera.leave(60_000))
    };
    assert_eq!(passage(2), [Verdict::Unknown]);
    assert!(matches!(passage(1)[..], [Verdict::Known { .. }]));
    assert!(matches!(passage(0)[..], [Verdict::Known { .. }]));
}

#[test]
fn an_outlier_frame_does_not_decide() {
    // A stranger's face is as Ada's in one frame, and once more in a blurred one.
    let mut camera = Camera::looking_for([ADA, BEN]);
    for shot in 0..12u64 {
        let (embedding, quality) = match shot {
            5 => (photograph(ADA, 0.2, shot), 1.0),
            _ => (photograph(STRANGER, 0.5, shot), 0.8),
        };
        camera.frame(shot as i64 * 100, vec![face(embedding, 10.0, quality)]);
    }
    assert_eq!(names(&camera.leave(60_000)), []);

    // Ben's frame in the middle of Ada's passage does not make her Ben.
    let mut camera = Camera::looking_for([ADA, BEN]);
    for shot in 0..6u64 {
        let person = if shot == 1 { BEN } else { ADA };
        camera.frame(shot as i64 * 100, vec![face(photograph(person, 0.5, shot), 10.0, 0.8)]);
    }
    assert_eq!(names(&camera.leave(60_000)), [resident(ADA)]);
}

#[test]
fn a_face_between_two_residents_is_ambiguous() {
    let mut camera = Camera::looking_for([ADA, BEN]);
    for shot in 0..6 {
        camera.frame(shot * 100, vec![face(between(ADA, BEN), 10.0, 0.9)]);
    }
    assert_eq!(verdicts(&camera.leave(60_000)), [Verdict::Ambiguous]);
}

#[test]
fn bad_faces_say_nothing() {
    let mut camera = Camera::looking_for([ADA]);
    for shot in 0..6u64 {
        camera.frame(shot as i64 * 100, vec![face(photograph(ADA, 0.1, shot), 10.0, 0.1)]);
    }
    assert_eq!(verdicts(&camera.leave(60_000)), [Verdict::LowQuality]);
}

#[test]
fn a_resident_is_named_anew_only_after_being_gone_for_the_gap() {
    let mut camera = Camera::looking_for([ADA]);
    let pass = |camera: &mut Camera, from: i64| {
        for shot in 0..3 {
            // Far from the last place and with noise of its own: the tracker may well make a new track of it.
            let shown = face(photograph(ADA, 1.0, (from + shot) as u64), from as f32, 0.8);
            camera.frame(from + shot * 100, vec![shown]);
        }
        names(&camera.said).len()
    };
    assert_eq!(pass(&mut camera, 0), 1);
    assert_eq!(pass(&mut camera, 3_199), 1);
    assert_eq!(pass(&mut camera, 3_399 + 3_000), 2);
}

#[test]
fn a_lost_track_does_not_name_its_resident_twice() {
    let mut camera = Camera::looking_for([ADA]);
    for shot in 0..3u64 {
        camera.frame(shot as i64 * 100, vec![face(photograph(ADA, 0.3, shot), 10.0, 0.8)]);
    }
    // The server ends the track while frames of the same passage still wait for a worker.
    camera.leave(10_000);
    assert!(camera.tracker.is_empty());
    for shot in 3..6u64 {
        camera.frame(shot as i64 * 100, vec![face(photograph(ADA, 0.3, shot), 10.0, 0.8)]);
    }
    assert_eq!(names(&camera.leave(60_000)), [resident(ADA)]);
}

#[test]
fn frames_out_of_order_are_ignored_and_a_clock_set_back_is_followed() {
    let ada = |shot| vec![face(photograph(ADA, 0.2, shot), 10.0, 0.9)];
    let mut camera = Camera::looking_for([ADA]);
    camera.frame(100_000, ada(0));
    camera.frame(100_000, ada(0));
    camera.frame(99_000, ada(1));
    camera.frame(40_001, ada(2));
    assert!(camera.said.is_empty());

    camera.frame(40_000, ada(3));
    assert_eq!(verdicts(&camera.said), [Verdict::Unknown]);
    camera.frame(40_100, ada(4));
    assert_eq!(names(&camera.said), [resident(ADA)]);
}

#[test]
fn more_faces_than_tracks_push_out_the_longest_unseen() {
    let crowd = |first: u64, count: u64| -> Vec<ObservedFace> {
        (first..first + count).map(|person| face(photograph(person, 0.0, 0), person as f32 * 100.0, 0.9)).collect()
    };
    let mut camera = Camera::looking_for([ADA]);
    camera.frame(0, crowd(1_000, 60));
    camera.frame(100, crowd(2_000, 100));
    assert_eq!(camera.tracker.len(), Tracker::TRACKS_MAX);
    assert_eq!(camera.said.len(), 60);
    camera.frame(200, crowd(2_000, 100));
    assert_eq!(camera.said.len(), 60);
}

#[test]
fn faces_of_another_model_are_refused_and_change_nothing() {
    let mut camera = Camera::looking_for([ADA]);
    camera.frame(0, vec![face(photograph(ADA, 0.2, 0), 10.0, 0.9)]);
    let other = Embedding::new(&ModelId::new("other"), vec![1.0]).unwrap();
    let refused = camera.tracker.observe(at(100), vec![face(other, 10.0, 0.9)], &camera.gallery, &camera.policy);
    assert!(matches!(refused, Err(EmbeddingError::OtherModel { .. })));
    camera.frame(100, vec![face(photograph(ADA, 0.2, 1), 10.0, 0.9)]);
    assert_eq!(names(&camera.said), [resident(ADA)]);
}

#[test]
fn a_resident_who_leaves_the_gallery_is_not_named() {
    let mut camera = Camera::looking_for([ADA, BEN]);
    camera.frame(0, vec![face(photograph(ADA, 0.2, 0), 10.0, 0.9)]);
    camera.gallery.remove(resident(ADA));
    for shot in 1..6u64 {
        camera.frame(shot as i64 * 100, vec![face(photograph(ADA, 0.2, shot), 10.0, 0.9)]);
    }
    assert_eq!(names(&camera.leave(60_000)), []);
}

#[test]
fn nothing_of_a_face_prints() {
    let mut camera = Camera::looking_for([ADA]);
    camera.frame(0, vec![face(photograph(ADA, 0.2, 0), 10.0, 0.9)]);
    let printed = format!("{:?} {:?}", camera.tracker, camera.gallery);
    assert!(printed.contains("Sum(..)") && printed.contains("1 templates)"), "{printed}");
    assert!(!printed.contains("values"), "{printed}");
}

fn shown(shot: u64, liveness: f32) -> Vec<ObservedFace> {
    vec![ObservedFace { liveness: Some(liveness), ..face(photograph(ADA, 0.5, shot), 10.0, 0.8) }]
}

#[test]
fn a_picture_of_a_resident_is_said_of_when_it_is_gone() {
    for (check, named) in [(LivenessCheck::Flag, true), (LivenessCheck::Suppress, false), (LivenessCheck::Off, true)] {
        let mut camera = Camera::looking_for([ADA, BEN]);
        camera.policy.liveness = check;
        for shot in 0..6 {
            camera.frame(shot * 100, shown(shot as u64, 0.3));
        }
        assert_eq!(names(&camera.said).len(), usize::from(named), "{check:?}");
        let said = camera.leave(60_000);
        let pictured = matches!(said.last().unwrap().verdict, Verdict::NotLive { resident: who, similarity, picture }
            if who == resident(ADA) && similarity > 0.7 && picture.holds() && picture.named == named);
        assert_eq!(pictured, check != LivenessCheck::Off, "{check:?}: {said:?}");
        assert_eq!(said.len(), usize::from(named) + usize::from(pictured));
    }
}

#[test]
fn whether_a_face_is_alive_is_a_matter_of_all_its_frames() {
    let mut camera = Camera::looking_for([ADA, BEN]);
    camera.policy.liveness = LivenessCheck::Suppress;
    for (shot, liveness) in [(0, 0.1), (1, 0.3), (2, 0.9)] {
        camera.frame(shot * 100, shown(shot as u64, liveness));
        assert_eq!(names(&camera.said), [], "{shot}");
    }
    camera.frame(300, shown(3, 0.95));
    assert_eq!(names(&camera.said), [resident(ADA)], "0.56 on average");
    // A worker's nonsense, and a blurred face, say nothing.
    camera.frame(400, shown(4, f32::NAN));
    camera.frame(500, shown(5, -7.0));
    camera.frame(600, vec![ObservedFace { quality: 0.1, ..shown(6, 0.0).remove(0) }]);
    assert_eq!(camera.leave(60_000).len(), 1);
}

#[test]
fn a_picture_of_a_stranger_is_nobodys() {
    let mut camera = Camera::looking_for([BEN]);
    camera.policy.liveness = LivenessCheck::Suppress;
    for shot in 0..4 {
        camera.frame(shot * 100, shown(shot as u64, 0.1));
    }
    assert_eq!(verdicts(&camera.leave(60_000)), [Verdict::Unknown]);
}
