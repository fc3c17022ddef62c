//! Spoils fields by what they are: values at and beyond every limit, of every kind.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value};
use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};

/// Stands for bytes that are no UTF-8, which a text of Rust's cannot hold: of equal length once encoded.
const NO_UTF8: char = '\u{E0FF}';

const TEXTS: [&str; 18] = [
    "",
    " ",
    "\0",
    "a\0b",
    "\n",
    "a\tb",
    "\u{7f}\u{85}",
    "\u{202e}abc",
    "e\u{301}\u{301}\u{301}",
    "👩‍👩‍👧‍👦",
    "\u{feff}",
    "'; DROP TABLE parcel; --",
    "%s%n{}",
    "../../etc/passwd",
    "NaN",
    "-1",
    "99999999999999999999999999999999",
    "pcl_ffffffffffffffffffffffffffffffff",
];
const LENGTHS: [usize; 18] = [1, 16, 31, 32, 33, 63, 64, 65, 100, 101, 200, 201, 255, 256, 257, 1_000, 1_001, 70_000];
const NUMBERS: [i64; 22] = [
    0,
    1,
    -1,
    2,
    63,
    64,
    255,
    256,
    257,
    500,
    501,
    1_000,
    1_001,
    1_439,
    1_440,
    2_048,
    2_049,
    i32::MAX as i64,
    i32::MIN as i64,
    i64::MAX,
    i64::MIN,
    i64::MAX - 1,
];
const FLOATS: [f64; 12] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    0.0,
    -0.0,
    f64::MIN_POSITIVE,
    f64::MAX,
    f64::MIN,
    1e-300,
    -1.0,
    1.000_000_1,
    1e18,
];
/// Around the ends of what the wire, jiff and a database have instants for.
const SECONDS: [i64; 14] = [
    i64::MIN,
    i64::MAX,
    -62_135_596_800,
    -62_135_596_801,
    253_402_300_799,
    253_402_300_800,
    253_402_207_200,
    0,
    -1,
    1,
    315_576_000_000,
    -315_576_000_000,
    31_622_400,
    31_622_401,
];
const NANOS: [i32; 8] = [0, -1, 1, 999_999_999, 1_000_000_000, i32::MIN, i32::MAX, -999_999_999];
const MANY: [usize; 10] = [0, 2, 8, 9, 64, 65, 500, 501, 1_000, 1_001];

/// Spoils one field of a message, or of a message within it.
pub fn spoil(message: &mut DynamicMessage, rng: &mut StdRng) {
    let fields: Vec<_> = message.descriptor().fields().filter(|field| !field.is_map()).collect();
    let Some(field) = fields.choose(rng) else { return };
    if rng.random_bool(0.1) {
        message.clear_field(field);
        return;
    }
    if field.is_list() {
        let list = message.get_field_mut(field).as_list_mut().unwrap();
        spoil_list(list, field, rng);
        return;
    }
    if message.has_field(field)
        && rng.random_bool(0.8)
        && let Value::Message(nested) = message.get_field_mut(field)
    {
        spoil(nested, rng);
        return;
    }
    let value = spoilt(field, rng);
    message.set_field(field, value);
}

fn spoil_list(list: &mut Vec<Value>, field: &FieldDescriptor, rng: &mut StdRng) {
    match rng.random_range(0..4) {
        0 => list.push(spoilt(field, rng)),
        1 => {
            let one = list.first().cloned().unwrap_or_else(|| spoilt(field, rng));
            list.resize(*MANY.choose(rng).unwrap(), one);
        }
        _ => match list.len() {
            0 => list.push(spoilt(field, rng)),
            length => {
                let place = &mut list[rng.random_range(0..length)];
                match place {
                    Value::Message(nested) => spoil(nested, rng),
                    place => *place = spoilt(field, rng),
                }
            }
        },
    }
}

fn spoilt(field: &FieldDescriptor, rng: &mut StdRng) -> Value {
    let number = *NUMBERS.choose(rng).unwrap();
    match field.kind() {
        Kind::String => Value::String(text(rng)),
        Kind::Bool => Value::Bool(rng.random_bool(0.5)),
        Kind::Bytes => Value::Bytes(bytes(rng).into()),
        Kind::Enum(_) => Value::EnumNumber(number as i32),
        Kind::Message(kind) => Value::Message(extreme(&kind, rng)),
        Kind::Float => Value::F32(*FLOATS.choose(rng).unwrap() as f32),
        Kind::Double => Value::F64(*FLOATS.choose(rng).unwrap()),
        Kind::Int32 => Value::I32(number as i32),
        Kind::Int64 => Value::I64(number),
        other => Value::default_value(&other),
    }
}

fn text(rng: &mut StdRng) -> String {
    match rng.random_range(0..10) {
        0..4 => (*TEXTS.choose(rng).unwrap()).to_owned(),
        4..7 => {
            let one = *["a", "楼", "0", " ", "\u{301}"].choose(rng).unwrap();
            one.repeat(*LENGTHS.choose(rng).unwrap())
        }
        7 => format!("a{NO_UTF8}"),
        8 => (0..rng.random_range(1..40)).map(|_| rng.random::<char>()).collect(),
        _ if rng.random_bool(0.05) => "x".repeat(300_000),
        _ => "x".repeat(5_000),
    }
}

fn bytes(rng: &mut StdRng) -> Vec<u8> {
    let length = match rng.random_range(0..10) {
        0..9 => *LENGTHS.choose(rng).unwrap(),
        _ => 300_000,
    };
    let mut bytes = vec![0; length];
    rng.fill(&mut bytes[..]);
    if rng.random_bool(0.3) {
        bytes.splice(0..bytes.len().min(3), [0xFF, 0xD8, 0xFF]);
    }
    bytes
}

fn extreme(kind: &MessageDescriptor, rng: &mut StdRng) -> DynamicMessage {
    let mut message = DynamicMessage::new(kind.clone());
    if ["google.protobuf.Timestamp", "google.protobuf.Duration"].contains(&kind.full_name()) {
        message.set_field_by_name("seconds", Value::I64(*SECONDS.choose(rng).unwrap()));
        message.set_field_by_name("nanos", Value::I32(*NANOS.choose(rng).unwrap()));
    } else if rng.random_bool(0.5) {
        spoil(&mut message, rng);
    }
    message
}

/// The message on the wire, with bytes that are no UTF-8 where a text has to have some.
pub fn encode(message: &DynamicMessage) -> Vec<u8> {
    let mut bytes = prost::Message::encode_to_vec(message);
    let mut mark = [0; 4];
    let mark = NO_UTF8.encode_utf8(&mut mark).as_bytes();
    let mut from = 0;
    while let Some(at) = bytes[from..].windows(mark.len()).position(|window| window == mark) {
        bytes[from + at..from + at + mark.len()].copy_from_slice(&[0xFF, 0xC0, 0x80]);
        from += at + mark.len();
    }
    bytes
}
