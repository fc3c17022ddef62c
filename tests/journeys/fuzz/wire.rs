//! Spoils encoded messages, and the frames that carry them, as no encoder would.

use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};
use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};

/// Field numbers that nobody has, may not be had, or are reserved.
const FIELD_NUMBERS: [u64; 6] = [0, 15, 16, 19_500, (1 << 29) - 1, 1 << 30];

/// Spoils an encoded message.
pub fn spoil(message: &mut Vec<u8>, rng: &mut StdRng) {
    let place = rng.random_range(0..=message.len());
    match rng.random_range(0..10) {
        0 => message.truncate(place),
        1 => {
            for _ in 0..rng.random_range(1..8) {
                if let Some(byte) = (!message.is_empty()).then(|| rng.random_range(0..message.len())) {
                    message[byte] ^= 1 << rng.random_range(0..8);
                }
            }
        }
        2 => {
            let inserted: Vec<u8> = (0..rng.random_range(1..64)).map(|_| rng.random()).collect();
            message.splice(place..place, inserted);
        }
        3 => *message = (0..rng.random_range(0..200)).map(|_| rng.random()).collect(),
        4 => nest(message, rng),
        5 => {
            // A varint that has no end, and a length beyond the message's.
            message.extend(*[&[0x08][..], &[0x0a]].choose(rng).unwrap());
            message.extend(vec![0xff; rng.random_range(1..12)]);
        }
        _ => spoil_field(message, rng),
    }
}

/// A message within a message within a message, or a group within a group.
fn nest(message: &mut Vec<u8>, rng: &mut StdRng) {
    let depth = *[10, 99, 100, 101, 5_000].choose(rng).unwrap();
    let field = rng.random_range(1..6) << 3;
    if rng.random_bool(0.5) {
        message.extend(vec![field | 3; depth]);
        if rng.random_bool(0.5) {
            message.extend(vec![field | 4; depth]);
        }
        return;
    }
    let mut nested = Vec::new();
    for _ in 0..depth.min(500) {
        let mut outer = vec![field | 2];
        put_varint(&mut outer, nested.len() as u64);
        outer.append(&mut nested);
        nested = outer;
    }
    message.append(&mut nested);
}

/// Takes one field away, repeats it, renumbers it, or says that it is of another type.
fn spoil_field(message: &mut Vec<u8>, rng: &mut StdRng) {
    let fields = fields(message);
    let Some(field) = fields.choose(rng) else { return };
    let mut bytes = message[field.clone()].to_vec();
    match rng.random_range(0..4) {
        0 => bytes.clear(),
        1 => bytes = bytes.repeat(*[2, 3, 100].choose(rng).unwrap()),
        2 => bytes[0] = (bytes[0] & !7) | rng.random_range(0..8),
        _ => {
            let mut tag = Vec::new();
            put_varint(&mut tag, (FIELD_NUMBERS.choose(rng).unwrap() << 3) | u64::from(bytes[0] & 7));
            bytes.splice(0..1, tag);
        }
    }
    message.splice(field.clone(), bytes);
}

/// Where the fields of a well-formed message are.
fn fields(message: &[u8]) -> Vec<Range<usize>> {
    let (mut fields, mut at) = (Vec::new(), 0);
    while at < message.len() {
        let start = at;
        let Some(tag) = varint(message, &mut at) else { return fields };
        let skip = match tag & 7 {
            0 => varint(message, &mut at).map(|_| 0),
            1 => Some(8),
            2 => varint(message, &mut at),
            5 => Some(4),
            _ => None,
        };
        let end = skip.and_then(|skip| at.checked_add(usize::try_from(skip).ok()?)).filter(|end| *end <= message.len());
        let Some(end) = end else { return fields };
        fields.push(start..end);
        at = end;
    }
    fields
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn put_varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

/// The body of a request with these messages.
pub fn body(messages: &[Vec<u8>]) -> Bytes {
    let mut body = BytesMut::new();
    for message in messages {
        body.put_u8(0);
        body.put_u32(message.len() as u32);
        body.put_slice(message);
    }
    body.freeze()
}

/// A body whose frames are not what they should be.
pub fn spoilt_body(messages: &[Vec<u8>], rng: &mut StdRng) -> Bytes {
    let mut body = body(messages).to_vec();
    match rng.random_range(0..6) {
        0 => body.clear(),
        1 => body.truncate(rng.random_range(0..=body.len())),
        2 => body = body.repeat(2),
        3 => body.extend((0..rng.random_range(1..9)).map(|_| rng.random::<u8>())),
        4 if !body.is_empty() => body[0] = *[1, 2, 255].choose(rng).unwrap(),
        _ if body.len() >= 5 => body[rng.random_range(1..5)] ^= 1 << rng.random_range(0..8),
        _ => {}
    }
    body.into()
}
