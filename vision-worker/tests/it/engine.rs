//! Frames that are worked on together: the same answers as one by one, whatever is wrong with their neighbours.

use std::sync::Arc;

use bytes::Bytes;
use gatepost_vision::engine::Engine;
use gatepost_vision::{Analysis, FrameError};

use crate::support::{grey, jpeg, photograph, pipeline, similarity};

/// Frames of several sizes, with one face, with none, and files that are no frames.
fn frames() -> Vec<Bytes> {
    let names = ["obama", "biden", "obama2", "obama_partial_face"];
    let mut frames: Vec<Vec<u8>> = names.into_iter().map(photograph).collect();
    frames.extend([jpeg(&grey(640, 480)), jpeg(&grey(33, 65)), b"no frame".to_vec()]);
    frames.into_iter().map(Bytes::from).collect()
}

fn assert_same(found: &Analysis, expected: &Analysis) {
    assert_eq!((found.width, found.height, found.faces.len()), (expected.width, expected.height, expected.faces.len()));
    for (found, expected) in found.faces.iter().zip(&expected.faces) {
        assert!((found.bounds.x - expected.bounds.x).abs() < 0.01, "{:?}, {:?}", found.bounds, expected.bounds);
        // A product of many rows may be summed in another order than that of one.
        assert!(similarity(&found.embedding, &expected.embedding) > 0.9999);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_are_worked_on_together_are_answered_as_if_alone() {
    let engine = Engine::start_together(Arc::clone(pipeline())).unwrap();
    let frames = frames();
    let sent = frames.iter().cycle().take(5 * frames.len()).map(|jpeg| {
        let (engine, jpeg) = (engine.clone(), jpeg.clone());
        tokio::spawn(async move { engine.analyse(jpeg).await })
    });
    let sent: Vec<_> = sent.collect();
    for (index, answer) in sent.into_iter().enumerate() {
        let found = answer.await.unwrap();
        match pipeline().analyse(&frames[index % frames.len()]) {
            Ok(expected) => assert_same(&found.unwrap(), &expected),
            Err(error) => assert_eq!((found, &error), (Err(error.clone()), &FrameError::NotAJpeg)),
        }
    }
}

#[tokio::test]
async fn whoever_stops_waiting_takes_no_neighbour_along() {
    let engine = Engine::start_together(Arc::clone(pipeline())).unwrap();
    let frame = Bytes::from(photograph("obama"));
    let gone = tokio::spawn({
        let (engine, frame) = (engine.clone(), frame.clone());
        async move { engine.analyse(frame).await }
    });
    let waits = engine.analyse(frame);
    gone.abort();
    assert_eq!(waits.await.unwrap().faces.len(), 1);
}
