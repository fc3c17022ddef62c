//! The pipeline's words in the words of `gatepost.vision.v1`. Nothing else names both.

use gatepost_proto::vision as proto;
use gatepost_proto::vision::work_request::Message;

use crate::pipeline::{Analysis, Face, FrameError};

/// The first message of a stream.
pub fn hello(model_id: &str, dimension: usize, capacity: u16, worker_name: &str) -> proto::WorkRequest {
    let dimension = i32::try_from(dimension).expect("this is a bug: an embedding of over 2^31 numbers");
    request(Message::Hello(proto::Hello {
        model: Some(proto::Model { id: model_id.to_owned(), dimension }),
        capacity: i32::from(capacity),
        worker_name: worker_name.to_owned(),
    }))
}

/// The message before leaving.
pub fn going_away() -> proto::WorkRequest {
    request(Message::GoingAway(proto::GoingAway {}))
}

/// The answer to a frame.
pub fn result(frame_id: i64, analysis: Result<Analysis, FrameError>) -> proto::WorkRequest {
    let empty = proto::FrameResult { frame_id, ..proto::FrameResult::default() };
    request(Message::Result(match analysis {
        Ok(Analysis { width, height, faces }) => proto::FrameResult {
            faces: faces.into_iter().map(face).collect(),
            width: pixels(width),
            height: pixels(height),
            ..empty
        },
        Err(FrameError::TooLarge { width, height }) => proto::FrameResult {
            error: proto::FrameError::TooLarge.into(),
            width: pixels(width),
            height: pixels(height),
            ..empty
        },
        Err(FrameError::NotAJpeg) => proto::FrameResult { error: proto::FrameError::NotAJpeg.into(), ..empty },
        Err(FrameError::Internal(_)) => proto::FrameResult { error: proto::FrameError::Internal.into(), ..empty },
    }))
}

fn request(message: Message) -> proto::WorkRequest {
    proto::WorkRequest { message: Some(message) }
}

fn face(face: Face) -> proto::Face {
    let (bounds, measures) = (face.bounds, face.measures);
    proto::Face {
        r#box: Some(proto::Box { x: bounds.x, y: bounds.y, width: bounds.width, height: bounds.height }),
        landmarks: face.landmarks.iter().map(|point| proto::Point { x: point.x, y: point.y }).collect(),
        score: face.score,
        quality: face.quality,
        embedding: face.embedding,
        liveness: face.liveness,
        measures: Some(proto::Measures {
            sharpness: measures.sharpness,
            brightness: measures.brightness,
            colour: measures.colour,
            turn: measures.turn,
            visible: measures.visible,
        }),
    }
}

fn pixels(length: usize) -> i32 {
    i32::try_from(length).expect("this is a bug: a JPEG side has at most 16 bits")
}
