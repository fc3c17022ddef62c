//! Photographs of people, and the frames a gate camera would take of them.

use bytes::Bytes;
use courier_sim::{
    picture::Picture,
    scene::{Head, Passage, compose},
};
use gatepost_vision::model::card::cache_folder;

/// How the light falls on a passage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Light {
    /// Noon.
    Day,
    /// Later, darker, and out of focus.
    Dusk,
}

/// A photograph's JPEG file; says how to get it if it is not there.
pub fn photograph(name: &str) -> Bytes {
    let path = cache_folder("GATEPOST_PHOTOGRAPHS", "photographs").join(format!("{name}.jpg"));
    match std::fs::read(&path) {
        Ok(jpeg) => jpeg.into(),
        Err(error) => {
            panic!("{}: {error}: run vision-worker/photographs/fetch, or set GATEPOST_PHOTOGRAPHS", path.display())
        }
    }
}

/// The person of a photograph walks past a gate: small at first, nearer with every frame.
pub fn passage(name: &str, frames: usize, light: Light) -> Vec<Bytes> {
    let picture = Picture::from_jpeg(&photograph(name)).expect("a photograph is a JPEG");
    let day = Passage { frames, seed: 7, ..Passage::default() };
    let passage = match light {
        Light::Day => day,
        Light::Dusk => Passage { blur: 2, brightness: -25.0, contrast: 0.85, mirrored: true, seed: 8, ..day },
    };
    compose(&picture, Head::of(name), &passage).expect("frames")
}
