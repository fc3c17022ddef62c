//! Pictures whose bytes were spoilt, and messages: each is a picture or a refusal, never a panic, and soon.
//! `GATEPOST_FUZZ_CASES` says how many, `GATEPOST_FUZZ_SEED` which.

use std::time::Duration;

use gatepost_proto::vision::{Frame, WorkResponse, work_response};
use gatepost_vision::image::Picture;
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use prost::Message as _;
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
    if file.is_empty() {
        return;
    }
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

/// Makes the sides that a file states short: reading what a large one lacks takes a thousand times as long as the rest.
fn shorten_sides(file: &mut [u8]) {
    for at in 0..file.len().saturating_sub(9) {
        if file[at] == 0xFF && matches!(file[at + 1], 0xC0..=0xC2) {
            (file[at + 5], file[at + 7]) = (0, 0);
        }
    }
}

/// Of this thread.
fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// How many cases, and which.
fn settings() -> (usize, StdRng) {
    let setting = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let cases = setting("GATEPOST_FUZZ_CASES").map_or(CASES, |cases| cases as usize);
    (cases, StdRng::seed_from_u64(setting("GATEPOST_FUZZ_SEED").unwrap_or(1)))
}

/// What a platform sends, its bytes spoilt on the way: no message, or one whose picture is a picture or a refusal.
#[test]
fn a_spoilt_message_is_a_message_or_a_refusal() {
    let (cases, mut rng) = settings();
    let files = &files()[1..];
    let message = |jpeg: &Vec<u8>| {
        let frame =
            Frame { frame_id: 7, jpeg: jpeg.clone().into(), traceparent: "00-1-2-01".into(), ..Frame::default() };
        WorkResponse { message: Some(work_response::Message::Frame(frame)) }.encode_to_vec()
    };
    let messages: Vec<Vec<u8>> = files.iter().map(message).collect();
    let (mut frames, mut pictures) = (0, 0);
    for _ in 0..cases {
        let mut bytes = messages.choose(&mut rng).unwrap().clone();
        for _ in 0..rng.random_range(1..4) {
            spoil(&mut bytes, &messages, &mut rng);
        }
        shorten_sides(&mut bytes);
        let Ok(message) = WorkResponse::decode(&*bytes) else { continue };
        let Some(work_response::Message::Frame(frame)) = message.message else { continue };
        frames += 1;
        pictures += usize::from(Picture::decode(&frame.jpeg).is_ok());
    }
    println!("{cases} spoilt messages, {frames} still frames, {pictures} with a picture");
    assert!(frames > cases / 50 && pictures > 0, "{frames} were still frames: too few");
}

#[test]
fn a_spoilt_picture_is_a_picture_or_a_refusal() {
    let (cases, mut rng) = settings();
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
        if case % large_every != 0 {
            shorten_sides(&mut file);
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
