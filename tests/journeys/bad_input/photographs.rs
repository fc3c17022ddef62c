//! Photographs that nobody can be enrolled from, before the real network.

use bytes::Bytes;
use courier_sim::picture::{Picture, Region};
use gatepost_proto::v1::{ConsentPurpose, EnrolmentOutcome};
use gatepost_tests::{
    clients::{Resident, photograph},
    world::World,
};
use tonic::Code::{self, FailedPrecondition, InvalidArgument, NotFound, Unavailable};

use super::{
    Everything,
    frames::{enormous, of_nobody, padded, truncated},
    refused,
};

const MEBIBYTE: usize = 1024 * 1024;

/// A photograph at another width.
fn shrunk(name: &str, width: usize) -> Picture {
    let picture = Picture::from_jpeg(&photograph(name)).unwrap();
    let (whole_width, whole_height) = (picture.width() as f32, picture.height() as f32);
    let whole = Region { x: 0.0, y: 0.0, width: whole_width, height: whole_height };
    picture.resample(whole, width, (width as f32 * whole_height / whole_width) as usize)
}

/// Two people side by side.
fn of_two() -> Bytes {
    let (left, right) = (shrunk("obama", 400), shrunk("biden", 400));
    let mut both = Picture::paint(900, left.height().max(right.height()), |_, _| [110, 120, 130]);
    both.lay(&left, 0, 0, 0);
    both.lay(&right, 480, 0, 0);
    both.to_jpeg(90).unwrap().into()
}

/// Somebody far away: a face of less than 48 pixels, but still a face.
fn from_afar() -> Bytes {
    let mut street = Picture::paint(640, 480, |_, _| [110, 120, 130]);
    street.lay(&shrunk("obama", 130), 250, 150, 0);
    street.to_jpeg(95).unwrap().into()
}

async fn not_enrolled(resident: &Resident, photograph: Bytes, code: Code, reason: &str) {
    refused(resident.enrol(photograph).await, code, reason);
}

#[tokio::test]
async fn a_photograph_shows_one_person_from_near() {
    let world = World::new().await;
    let _worker = world.worker().await;
    let (swift, wang) = (world.courier("swift-express").await, world.resident("王芳"));
    not_enrolled(&wang, photograph("obama"), FailedPrecondition, "NO_RECOGNITION_CONSENT").await;
    wang.consent(ConsentPurpose::GateRecognition).await;
    let before = Everything::of(&world, &swift).await;

    let cases = [
        ("two people", of_two(), "SEVERAL_FACES"),
        ("nobody", of_nobody(), "NO_FACE"),
        ("somebody far away", from_afar(), "FACE_TOO_SMALL"),
        ("nothing", Bytes::new(), "NOT_A_JPEG"),
        ("text", Bytes::from_static(b"portrait"), "NOT_A_JPEG"),
        ("half a photograph", truncated(), "NOT_A_JPEG"),
        ("50 megapixels", enormous(), "IMAGE_TOO_LARGE"),
        ("over 8 MiB", padded(8 * MEBIBYTE + 1), "IMAGE_TOO_LARGE"),
    ];
    for (what, photograph, reason) in cases {
        let refusal = refused(wang.enrol(photograph).await, InvalidArgument, reason);
        assert!(!refusal.message.is_empty(), "{what}");
    }
    let unreadable = wang.enrol(padded(9 * MEBIBYTE + 1)).await.expect_err("over the limit of the wire");
    assert_eq!(unreadable.code, Code::OutOfRange);
    assert_eq!(Everything::of(&world, &swift).await, before);

    let mut nobody = wang.clone();
    nobody.id = format!("res_{:032x}", 7);
    not_enrolled(&nobody, photograph("obama"), NotFound, "RESIDENT_NOT_FOUND").await;
    let enrolled = wang.enrol(photograph("obama")).await.unwrap();
    assert_eq!(enrolled.resident.unwrap().faces, 1);
}

/// A portrait of somebody in another state.
fn portrait(change: impl FnOnce(Picture) -> Picture) -> Bytes {
    change(Picture::from_jpeg(&photograph("obama")).unwrap()).to_jpeg(92).unwrap().into()
}

/// The same without colours.
fn grey(picture: Picture) -> Picture {
    Picture::paint(picture.width(), picture.height(), |x, y| {
        let [red, green, blue] = picture.at(x, y).map(u32::from);
        [((red * 299 + green * 587 + blue * 114) / 1000) as u8; 3]
    })
}

/// What is left when the right part of the face lies outside the picture.
fn cut(picture: Picture) -> Picture {
    let (width, height) = (picture.width() as f32 * 0.62, picture.height() as f32);
    picture.resample(Region { x: 0.0, y: 0.0, width, height }, width as usize, height as usize)
}

#[tokio::test]
async fn a_photograph_shows_a_face_well() {
    let world = World::new().await;
    let _worker = world.worker().await;
    let wang = world.resident("王芳");
    wang.consent(ConsentPurpose::GateRecognition).await;
    let cases = [
        ("at night", portrait(|picture| picture.lit(0.15, -107.0)), "FACE_DARK"),
        ("out of focus", portrait(|picture| picture.blurred(60)), "FACE_BLURRED"),
        ("without colours", portrait(grey), "FACE_GREY"),
        ("half outside", portrait(cut), "FACE_OCCLUDED"),
    ];
    for (what, photograph, reason) in cases {
        let refusal = wang.enrol(photograph).await.expect_err(what);
        assert_eq!((refusal.code, &*refusal.reason), (InvalidArgument, reason), "{what}: {}", refusal.message);
    }
    let enrolled = wang.enrol(photograph("obama")).await.unwrap();
    assert_eq!(enrolled.outcome(), EnrolmentOutcome::Enrolled);
    assert!(enrolled.quality > 0.9, "{}", enrolled.quality);
    let again = wang.enrol(portrait(|picture| picture.lit(1.0, 6.0))).await.unwrap();
    assert_eq!((again.outcome(), again.resident.unwrap().faces), (EnrolmentOutcome::NearDuplicate, 1));
}

#[tokio::test]
async fn eight_faces_are_enough_and_none_is_enrolled_without_a_worker() {
    let world = World::new().await;
    let wang = world.resident("王芳");
    wang.consent(ConsentPurpose::GateRecognition).await;
    let face = |look: usize| Bytes::from(format!("face 王芳{look}"));
    not_enrolled(&wang, face(0), Unavailable, "NO_VISION_WORKER").await;
    let _worker = world.scripted_worker().await;
    for look in 0..8 {
        wang.enrol(face(look)).await.unwrap();
    }
    not_enrolled(&wang, face(8), FailedPrecondition, "FACES_FULL").await;
    assert_eq!(wang.on_record().await.unwrap().faces, 8);
}
