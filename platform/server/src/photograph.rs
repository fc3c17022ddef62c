//! Whether a photograph is fit to be enrolled from: a face that is hard to compare makes everybody at the gates wait,
//! and a very bad one resembles strangers.
//!
//! | reason | when | why there |
//! |---|---|---|
//! | FACE_TOO_SMALL | under 48 pixels wide | below, too little of the face is left at gate resolution to compare |
//! | FACE_BLURRED | variance of the Laplacian under 4 | blurred by 3 pixels of the crop a face keeps a cosine of 0.91 with itself and over a quarter of such faces lie below 4; blurred by 6 pixels it keeps 0.51 and 95 of 100 lie below; of 100 unblurred ones 99 and more lie above |
//! | FACE_TURNED | nose over 0.35 eye distances off the middle | the worker's quality of a face reaches 0 at 0.5, a half profile; a choice, not measured |
//! | FACE_OCCLUDED | detection score under 0.8, or over a tenth of the crop outside the picture | with the mouth covered half of the faces score under 0.82 or are not found, and 1 open face of 100 scores under 0.81; with a mask, dark glasses or half the face covered most are not found at all, which is NO_FACE |
//! | FACE_DARK | middle of the face under 40 of 255 on average | at 15 % of its light a face measures 22 and keeps a cosine of 0.81 with itself; 99 of 100 well lit ones measure over 100 |
//! | FACE_NOT_LIVE | liveness under 0.5, where the worker judges it | where the networks draw the line; see the vision worker's page for what they catch |
//! | FACE_GREY | primary colours under 6 apart on average | grey pictures have 0, those of 9 portraits in colour 44 to 68; the embedder learned in colour |
//!
//! Measured on 9 portraits in colour and 119 of the ORL faces, enlarged twice, with the networks that Gatepost comes
//! with, each face once as it is and once blurred, darkened or painted over. It is a coarse sieve: a face that is
//! covered and found all the same passes, and so does one photographed from a screen where the worker has no networks
//! that tell it.

use std::fmt;

use gatepost_matching::LIVE_MIN;
use gatepost_proto::vision as wire;

const WIDTH_MIN: f32 = 48.0;
const SHARPNESS_MIN: f32 = 4.0;
const TURN_MAX: f32 = 0.35;
const SCORE_MIN: f32 = 0.8;
const VISIBLE_MIN: f32 = 0.9;
const BRIGHTNESS_MIN: f32 = 40.0;
const COLOUR_MIN: f32 = 6.0;

/// What makes a photograph unfit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    TooSmall,
    Blurred,
    Turned,
    Occluded,
    Dark,
    Grey,
    NotLive,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unfit::TooSmall => "the face is less than 48 pixels wide: use a closer photograph",
            Unfit::Blurred => "the face is blurred: hold the camera still, or use a photograph in focus",
            Unfit::Turned => "the face is turned aside: look into the camera",
            Unfit::Occluded => "part of the face is covered or outside the picture: show the whole face",
            Unfit::Dark => "the face is too dark: put light on it",
            Unfit::Grey => "the photograph has no colours: use one in colour",
            Unfit::NotLive => {
                "it looks like a picture of a picture: photograph the person, with some space around the face"
            }
        })
    }
}

/// Everything that is wrong with a face, the gravest first. A worker that does not measure is taken at its word.
pub fn unfit(face: &wire::Face) -> Vec<Unfit> {
    let width = face.r#box.map_or(0.0, |bounds| bounds.width);
    let mut found = Vec::new();
    let mut expect = |fit: bool, unfit: Unfit| {
        if !fit {
            found.push(unfit);
        }
    };
    expect(width >= WIDTH_MIN, Unfit::TooSmall);
    if let Some(measures) = face.measures {
        expect(measures.brightness >= BRIGHTNESS_MIN, Unfit::Dark);
        expect(measures.sharpness >= SHARPNESS_MIN, Unfit::Blurred);
        expect(measures.turn <= TURN_MAX, Unfit::Turned);
        expect(measures.visible >= VISIBLE_MIN && face.score >= SCORE_MIN, Unfit::Occluded);
        // Little light leaves little colour: that is said once.
        expect(measures.colour >= COLOUR_MIN || measures.brightness < BRIGHTNESS_MIN, Unfit::Grey);
    }
    // Nothing that is no number passes.
    expect(face.liveness.is_none_or(|liveness| liveness >= LIVE_MIN), Unfit::NotLive);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portrait() -> (wire::Face, wire::Measures) {
        let measures = wire::Measures { sharpness: 600.0, brightness: 130.0, colour: 60.0, turn: 0.05, visible: 1.0 };
        let bounds = wire::Box { x: 10.0, y: 10.0, width: 120.0, height: 150.0 };
        (wire::Face { r#box: Some(bounds), score: 0.94, measures: Some(measures), ..Default::default() }, measures)
    }

    #[test]
    fn a_portrait_is_fit() {
        assert_eq!(unfit(&portrait().0), []);
    }

    #[test]
    fn each_measure_has_its_reason() {
        let (face, good) = portrait();
        let with = |measures| unfit(&wire::Face { measures: Some(measures), ..face.clone() });
        assert_eq!(with(wire::Measures { sharpness: 3.9, ..good }), [Unfit::Blurred]);
        assert_eq!(with(wire::Measures { brightness: 39.0, colour: 3.0, ..good }), [Unfit::Dark]);
        assert_eq!(with(wire::Measures { colour: 5.0, ..good }), [Unfit::Grey]);
        assert_eq!(with(wire::Measures { turn: 0.36, ..good }), [Unfit::Turned]);
        assert_eq!(with(wire::Measures { visible: 0.89, ..good }), [Unfit::Occluded]);
        assert_eq!(unfit(&wire::Face { score: 0.79, ..face.clone() }), [Unfit::Occluded]);
        assert_eq!(
            with(wire::Measures { sharpness: f32::NAN, turn: 1.0, ..good }),
            [Unfit::Blurred, Unfit::Turned],
            "what cannot be measured is not fit"
        );
    }

    #[test]
    fn a_picture_of_a_picture_is_unfit_where_the_worker_can_tell() {
        let (face, _) = portrait();
        let with = |liveness| unfit(&wire::Face { liveness: Some(liveness), ..face.clone() });
        assert_eq!((with(0.5), with(1.0)), (vec![], vec![]));
        assert_eq!((with(0.49), with(f32::NAN)), (vec![Unfit::NotLive], vec![Unfit::NotLive]));
    }

    #[test]
    fn a_worker_that_does_not_measure_is_asked_for_the_width_alone() {
        let (mut face, _) = portrait();
        face.measures = None;
        assert_eq!(unfit(&face), []);
        face.r#box = None;
        assert_eq!(unfit(&face), [Unfit::TooSmall]);
    }
}
