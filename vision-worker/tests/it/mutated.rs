//! Pictures whose bytes were spoilt: each is a picture or a refusal, never a panic, and soon. `GATEPOST_FUZZ_CASES` says
//! how many, `GATEPOST_FUZZ_SEED` which.

use std::time::Duration;

use gatepost_vision::image::Picture;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use rustix::time::{ClockId, clock_gettime};

use crate::support::{photograph, pipeline};

/// In the form that runs every time.
const CASES: usize = 1_500;
/// Processor time for one picture: a busy machine may let it wait for longer. Unspoilt, the largest of them takes some
/// 20 ms.
const BOUND: Duration = Duration::from_secs(5);
/// Larger pictures are not searched for faces here: that takes as long as it takes.
const SEARCHED_PIXELS_MAX: usize = 300_000;

/// What is spoilt: baseline and progressive, with and without subsampling and restart marks, grey, and a camera's.
fn files() -> Vec<Vec<u8>> {
    let (width, height) = (120_u16, 88_u16);
    let colours = |count: usize| {
        let pixel = move |at: usize| (0..count).map(move |colour| (at * (3 + colour) + at / 120 * 7) as u8);
        (0..usize::from(width) * usize::from(height)).flat_map(pixel).collect::<Vec<u8>>()
    };
    let mut files = vec![photograph("obama")];
    for progressive in [false, true] {
        for (sampling, restart) in [(SamplingFactor::F_1_1, 0), (SamplingFactor::F_2_2, 4), (SamplingFactor::F_2_1, 1)]
        {
            let mut file = Vec::new();
            let mut encoder = Encoder::new(&mut file, 80);
            encoder.set_progressive(progressive);
            encoder.set_sampling_factor(sampling);
            encoder.set_restart_interval(restart);
            encoder.encode(&colours(3), width, height, ColorType::Rgb).unwrap();
            files.push(file);
        }
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, 80);
        encoder.set_progressive(progressive);
        encoder.add_exif_metadata(&exif()).unwrap();
        encoder.encode(&colours(1), width, height, ColorType::Luma).unwrap();
        files.push(file);
    }
    files
}

/// An EXIF block that says: to be turned by a right angle.
fn exif() -> Vec<u8> {
    let tag = [0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0];
    [&b"II*\0\x08\0\0\0\x01\0"[..], &tag, &[0; 4]].concat()
}

/// Spoils a file as cameras, cables and attackers do.
fn spoil(file: &mut Vec<u8>, others: &[Vec<u8>], rng: &mut StdRng) {
    let place = rng.random_range(0..file.len());
    // The tables and headers come first, and are what a decoder believes.
    let early = rng.random_range(0..file.len().min(700));
    match rng.random_range(0..8) {
        0 => file[place] = rng.random(),
        1 => file[early] = *[0, 1, 0x7F, 0x80, 0xFF].choose(rng).unwrap(),
        2 => {
            file.drain(place..(place + rng.random_range(1..64)).min(file.len()));
        }
        3 => {
            let copied = file[early..(early + rng.random_range(1..200)).min(file.len())].to_vec();
            file.splice(place..place, copied);
        }
        4 => {
            // Another mark, where there is one.
            let marks: Vec<usize> =
                (0..file.len() - 1).filter(|at| file[*at] == 0xFF && file[at + 1] >= 0xC0).collect();
            if let Some(mark) = marks.choose(rng) {
                file[mark + 1] = rng.random_range(0xC0..=0xFE);
            }
        }
        5 => {
            let other = others.choose(rng).unwrap();
            let from = rng.random_range(0..other.len());
            file.truncate(place);
            file.extend(&other[from..]);
        }
        6 => file.truncate(place.max(4)),
        _ => {
            // Sides of any length.
            let frame =
                (0..file.len().saturating_sub(9)).find(|at| file[*at] == 0xFF && [0xC0, 0xC2].contains(&file[at + 1]));
            if let Some(frame) = frame {
                for byte in &mut file[frame + 5..frame + 9] {
                    *byte = *[0, 1, 4, 16, 0xFF].choose(rng).unwrap();
                }
            }
        }
    }
}

/// Of this thread.
fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

#[test]
fn a_spoilt_picture_is_a_picture_or_a_refusal() {
    let setting = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let cases = setting("GATEPOST_FUZZ_CASES").map_or(CASES, |cases| cases as usize);
    let mut rng = StdRng::seed_from_u64(setting("GATEPOST_FUZZ_SEED").unwrap_or(1));
    let files = files();
    assert!(files.iter().all(|file| Picture::decode(file).is_ok()), "there is something to spoil");
    // What takes long comes as often as the short form has it, and in a long one so many times and no more.
    let (large_every, searched_every) = (40.max(cases / 5_000), 50.max(cases / 10_000));
    let (mut pictures, mut longest) = (0, Duration::ZERO);
    for case in 0..cases {
        let mut file = files[if case % large_every == 0 { 0 } else { rng.random_range(1..files.len()) }].clone();
        for _ in 0..rng.random_range(1..4) {
            spoil(&mut file, &files, &mut rng);
        }
        if rng.random_bool(0.7) {
            // Else hardly any would get past the look at its end.
            file.extend([0xFF, 0xD9]);
        }
        let begun = processor_time();
        let picture = Picture::decode(&file);
        let took = processor_time() - begun;
        longest = longest.max(took);
        assert!(took < BOUND, "case {case}: {took:?}");
        let Ok(picture) = picture else { continue };
        pictures += 1;
        assert_eq!(picture.rgb.len(), picture.width * picture.height * 3, "case {case}");
        if pictures % searched_every == 0 && picture.width * picture.height < SEARCHED_PIXELS_MAX {
            pipeline().faces(&file).unwrap();
        }
    }
    println!("{cases} spoilt files, {pictures} still pictures, the slowest took {longest:?}");
    assert!(pictures > cases / 50, "{pictures} were still pictures: too few to try what comes after the headers");
}
