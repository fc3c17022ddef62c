//! Real faces: who is who, how many, and what a gate's distance and light do to the quality.

use gatepost_vision::image::Picture;

use crate::support::{grey, jpeg, only_face, paste, photograph, pipeline, similarity};

const OBAMA: [&str; 5] = ["obama", "obama2", "obama3", "obama_partial_face", "obama_partial_face2"];

#[test]
fn one_person_resembles_himself_and_nobody_else() {
    let biden = only_face("biden").embedding;
    let obama = OBAMA.map(|name| only_face(name).embedding);
    for (index, first) in obama.iter().enumerate() {
        for (other, second) in obama.iter().enumerate().skip(index + 1) {
            let same = similarity(first, second);
            assert!(same > 0.5, "{} and {}: {same}", OBAMA[index], OBAMA[other]);
        }
        let different = similarity(first, &biden);
        assert!(different < 0.4, "{} and biden: {different}", OBAMA[index]);
    }
}

#[test]
fn embeddings_have_length_one() {
    let embedding = only_face("biden").embedding;
    assert_eq!(embedding.len(), 128);
    assert!((similarity(&embedding, &embedding) - 1.0).abs() < 1e-5);
}

/// A photograph at a smaller width.
fn small(name: &str, width: usize) -> Picture {
    let picture = Picture::decode(&photograph(name)).unwrap();
    picture.shrink(width, width * picture.height / picture.width)
}

#[test]
fn two_people_at_a_gate_are_two_faces_by_descending_score() {
    let mut frame = grey(1280, 720);
    paste(&mut frame, &small("obama", 240), 100, 200);
    paste(&mut frame, &small("biden", 240), 800, 100);
    let faces = pipeline().faces(&jpeg(&frame)).unwrap();
    assert_eq!(faces.len(), 2);
    assert!(faces[0].score >= faces[1].score);
    let (left, right) =
        if faces[0].bounds.x < faces[1].bounds.x { (&faces[0], &faces[1]) } else { (&faces[1], &faces[0]) };
    assert!(left.bounds.x > 100.0 && left.bounds.x < 340.0);
    assert!(right.bounds.x > 800.0 && right.bounds.x < 1040.0);
    assert!(similarity(&left.embedding, &only_face("obama").embedding) > 0.5);
    assert!(similarity(&right.embedding, &only_face("biden").embedding) > 0.5);
}

#[test]
fn a_face_is_found_where_it_is_in_a_frame_of_any_size() {
    let photo = Picture::decode(&photograph("obama")).unwrap();
    let alone = only_face("obama").bounds;
    let mut frame = grey(3840, 2160);
    paste(&mut frame, &photo, 1500, 600);
    let faces = pipeline().faces(&jpeg(&frame)).unwrap();
    assert_eq!(faces.len(), 1);
    let expected = (alone.x + 1500.0, alone.y + 600.0);
    let near = |found: f32, expected: f32| (found - expected).abs() < 0.08 * alone.width;
    assert!(near(faces[0].bounds.x, expected.0) && near(faces[0].bounds.y, expected.1), "{:?}", faces[0].bounds);
    assert!(similarity(&faces[0].embedding, &only_face("obama").embedding) > 0.9);
}

#[test]
fn quality_falls_with_distance_and_blur() {
    let at = |width| {
        let faces = pipeline().faces(&jpeg(&small("obama", width))).unwrap();
        (faces[0].bounds.width, faces[0].quality)
    };
    let (near, middle, far) = (at(600), at(250), at(120));
    assert!(near.1 > 0.9, "{near:?}");
    assert!(middle.1 < near.1 && far.1 < middle.1, "{near:?} {middle:?} {far:?}");
    // Shrunk and enlarged again: as many pixels, less in them.
    let sharp = small("obama", 600);
    let blurred = enlarge(&small("obama", 60), 10);
    let quality =
        |picture: &Picture| pipeline().faces(&jpeg(picture)).unwrap().first().map_or(0.0, |face| face.quality);
    assert!(quality(&blurred) < quality(&sharp) - 0.2, "{} {}", quality(&blurred), quality(&sharp));
}

/// Each pixel's colour flows evenly into the next one's.
fn enlarge(picture: &Picture, times: usize) -> Picture {
    let (width, height) = (picture.width * times, picture.height * times);
    let at = |x: usize, y: usize, channel: usize| {
        f32::from(picture.rgb[(y.min(picture.height - 1) * picture.width + x.min(picture.width - 1)) * 3 + channel])
    };
    let mut rgb = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            let (left, top) = (x / times, y / times);
            let (dx, dy) = ((x % times) as f32 / times as f32, (y % times) as f32 / times as f32);
            for channel in 0..3 {
                let upper = at(left, top, channel) * (1.0 - dx) + at(left + 1, top, channel) * dx;
                let lower = at(left, top + 1, channel) * (1.0 - dx) + at(left + 1, top + 1, channel) * dx;
                rgb.push((upper * (1.0 - dy) + lower * dy) as u8);
            }
        }
    }
    Picture { width, height, rgb }
}
