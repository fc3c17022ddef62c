//! Frames that no camera should send.

use gatepost_vision::FrameError;
use jpeg_encoder::{ColorType, Encoder};

use crate::support::{grey, jpeg, photograph, pipeline};

#[test]
fn what_is_not_a_jpeg_is_refused() {
    for bytes in [&b""[..], b"not a picture", b"\x89PNG\r\n\x1a\n", &[0xFF, 0xD8], &[0xFF, 0xD8, 0xFF, 0xD9]] {
        assert_eq!(pipeline().faces(bytes), Err(FrameError::NotAJpeg), "{bytes:?}");
    }
}

#[test]
fn a_jpeg_that_ends_too_early_is_refused_wherever_it_ends() {
    let whole = photograph("obama");
    for percent in [1, 10, 50, 90, 99] {
        let cut = &whole[..whole.len() * percent / 100];
        assert_eq!(pipeline().faces(cut), Err(FrameError::NotAJpeg), "{percent} percent");
    }
}

#[test]
fn a_flipped_byte_never_panics() {
    let whole = jpeg(&grey(64, 64));
    for index in 0..whole.len() {
        let mut broken = whole.clone();
        broken[index] ^= 0xFF;
        let _ = pipeline().faces(&broken);
    }
}

/// Only the header of a picture of that size: nothing else may be needed to refuse it.
fn header(width: u16, height: u16) -> Vec<u8> {
    let mut file = jpeg(&grey(16, 16));
    let frame = file.windows(2).position(|mark| mark == [0xFF, 0xC0]).unwrap();
    file[frame + 5..frame + 7].copy_from_slice(&height.to_be_bytes());
    file[frame + 7..frame + 9].copy_from_slice(&width.to_be_bytes());
    file
}

#[test]
fn fifty_megapixels_are_refused_by_the_header_alone() {
    let refused = |width: u16, height: u16| {
        let expected = FrameError::TooLarge { width: width.into(), height: height.into() };
        assert_eq!(pipeline().faces(&header(width, height)), Err(expected));
    };
    refused(10_000, 5_000);
    refused(65_000, 400);
    refused(65_535, 65_535);
}

#[test]
fn a_progressive_file_is_read_but_not_one_of_endless_scans() {
    let progressive = |scans: u8| {
        let (mut file, picture) = (Vec::new(), grey(64, 64));
        let mut encoder = Encoder::new(&mut file, 90);
        encoder.set_progressive_scans(scans);
        encoder.encode(&picture.rgb, 64, 64, ColorType::Rgb).unwrap();
        file
    };
    assert_eq!(pipeline().faces(&progressive(4)), Ok(vec![]));
    assert_eq!(pipeline().faces(&progressive(64)), Err(FrameError::NotAJpeg));
}

#[test]
fn a_frame_without_a_face_has_no_faces() {
    let analysis = pipeline().analyse(&jpeg(&grey(640, 480))).unwrap();
    assert_eq!((analysis.width, analysis.height, analysis.faces.len()), (640, 480, 0));
}

#[test]
fn frames_of_any_shape_are_searched() {
    for (width, height) in [(1, 1), (1, 500), (33, 31), (5000, 3), (250, 201)] {
        assert_eq!(pipeline().faces(&jpeg(&grey(width, height))), Ok(vec![]), "{width}x{height}");
    }
}
