//! Pictures with marks on them, and photographs that say how the phone was held.

use gatepost_vision::annotate::{annotate, plan};
use gatepost_vision::image::Picture;

use crate::support::{grey, jpeg, only_face, photograph, pipeline, similarity};

#[test]
fn a_folder_is_annotated_into_another() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("in"), folder.path().join("out"));
    std::fs::create_dir(&from).unwrap();
    let face = only_face("obama").bounds;
    std::fs::write(from.join("face.jpg"), photograph("obama")).unwrap();
    std::fs::write(from.join("none.jpeg"), jpeg(&grey(64, 64))).unwrap();
    std::fs::write(from.join("notes.txt"), "").unwrap();
    let faces: Vec<usize> = plan(&from, &to).unwrap().iter().map(|work| annotate(pipeline(), work).unwrap()).collect();
    assert_eq!(faces, [1, 0]);
    let marked = Picture::decode(&std::fs::read(to.join("face.jpg")).unwrap()).unwrap();
    let start = ((face.y + face.height / 2.0) as usize * marked.width + face.x as usize) * 3;
    let [red, green, blue] = [0, 1, 2].map(|channel| marked.rgb[start + channel]);
    assert!(green > 150 && red < 120 && blue < 120, "{red} {green} {blue}");
}

/// The photograph as a phone stores it that was held so that the sensor's columns are the picture's rows.
fn on_its_side(name: &str) -> Vec<u8> {
    let upright = Picture::decode(&photograph(name)).unwrap();
    let (width, height) = (upright.height, upright.width);
    let mut rgb = Vec::with_capacity(upright.rgb.len());
    for y in 0..height {
        for x in 0..width {
            let start = (x * upright.width + upright.width - 1 - y) * 3;
            rgb.extend_from_slice(&upright.rgb[start..start + 3]);
        }
    }
    let file = jpeg(&Picture { width, height, rgb });
    // Big-endian TIFF, one entry: the orientation, a short, once, 6.
    let mut block = b"Exif\0\0MM\0\x2A\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0".to_vec();
    block.extend([0; 4]);
    let mut segment = vec![0xFF, 0xE1];
    segment.extend(u16::try_from(block.len() + 2).unwrap().to_be_bytes());
    segment.extend(block);
    [&file[..2], &segment, &file[2..]].concat()
}

#[test]
fn a_photograph_on_its_side_is_turned_upright() {
    let stored = on_its_side("obama");
    let upright = Picture::decode(&photograph("obama")).unwrap();
    let analysis = pipeline().analyse(&stored).unwrap();
    assert_eq!((analysis.width, analysis.height), (upright.width, upright.height));
    assert_eq!(analysis.faces.len(), 1);
    let expected = only_face("obama");
    assert!((analysis.faces[0].bounds.x - expected.bounds.x).abs() < 5.0, "{:?}", analysis.faces[0].bounds);
    assert!(similarity(&analysis.faces[0].embedding, &expected.embedding) > 0.98);
}
