//! Messages that a caller could mean: the material that is then spoilt.

use gatepost_proto::v1::{self, ParcelState};
use gatepost_tests::{
    clients::{ManualWorker, new_request_id},
    live::now,
    world::{NORTH_GATE, TIME_ZONE, standard_community},
};
use prost::Message;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::known::{Known, name};

/// Makes messages.
pub struct Maker<'a> {
    pub known: &'a Known,
    pub rng: &'a mut StdRng,
}

impl Maker<'_> {
    /// A message of this kind.
    pub fn message(&mut self, kind: &MessageDescriptor) -> DynamicMessage {
        self.nested(kind, 0)
    }

    fn chance(&mut self, of: f64) -> bool {
        self.rng.random_bool(of)
    }

    fn nested(&mut self, kind: &MessageDescriptor, depth: usize) -> DynamicMessage {
        if let Some(message) = self.whole(kind) {
            return message;
        }
        let mut message = DynamicMessage::new(kind.clone());
        let mut chosen: Vec<FieldDescriptor> = Vec::new();
        for oneof in kind.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let fields: Vec<_> = oneof.fields().collect();
            chosen.extend(fields.choose(self.rng).cloned());
        }
        for field in kind.fields() {
            let (in_oneof, optional) = match field.containing_oneof() {
                Some(oneof) if oneof.is_synthetic() => (false, true),
                Some(_) => (true, false),
                None => (false, false),
            };
            let wanted = if in_oneof { chosen.contains(&field) } else { !(optional && self.chance(0.5)) };
            if !wanted || depth > 4 || field.is_map() || self.chance(0.04) {
                continue;
            }
            let value = if is_mask(&field) {
                Value::Message(self.mask(kind, &field))
            } else if field.is_list() {
                let length = match field.name() {
                    "embedding" => 128,
                    "landmarks" => 5,
                    "scopes" => self.rng.random_range(0..2),
                    _ => self.rng.random_range(0..4),
                };
                Value::List((0..length).map(|_| self.value(&field, depth)).collect())
            } else {
                self.value(&field, depth)
            };
            message.set_field(&field, value);
        }
        message
    }

    /// Names fields of the message beside it.
    fn mask(&mut self, of: &MessageDescriptor, field: &FieldDescriptor) -> DynamicMessage {
        let masked = of.fields().filter(|other| other != field).find_map(|other| match other.kind() {
            Kind::Message(kind) => Some(kind),
            _ => None,
        });
        let names: Vec<String> =
            masked.iter().flat_map(|kind| kind.fields()).map(|field| field.name().to_owned()).collect();
        let paths = names.choose_multiple(self.rng, 1).cloned().collect();
        let Kind::Message(kind) = field.kind() else { unreachable!("a mask is a message") };
        as_dynamic(&kind, &prost_types::FieldMask { paths })
    }

    /// Messages whose fields belong together.
    fn whole(&mut self, kind: &MessageDescriptor) -> Option<DynamicMessage> {
        let span = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        match kind.full_name() {
            "google.protobuf.Timestamp" => {
                let offset = match self.rng.random_range(0..10) {
                    0..6 => -self.rng.random_range(0..60),
                    6..8 => self.rng.random_range(0..3 * 86_400),
                    _ => -self.rng.random_range(0..30 * 86_400),
                };
                Some(as_dynamic(kind, &prost_types::Timestamp { seconds: now().as_second() + offset, nanos: 0 }))
            }
            "google.protobuf.Duration" => {
                let seconds = self.rng.random_range(0..3 * 86_400);
                Some(as_dynamic(kind, &prost_types::Duration { seconds, nanos: 0 }))
            }
            _ if self.chance(0.25) => None,
            "gatepost.v1.ConfirmDepositRequest" => {
                let parcel = self.known.parcel(&[ParcelState::Announced], self.rng)?;
                let place = parcel.placement?;
                let request = v1::ConfirmDepositRequest {
                    request_id: new_request_id(),
                    parcel_id: parcel.id,
                    locker_id: place.locker_id,
                    compartment_id: place.compartment_id,
                    deposit_time: None,
                };
                Some(as_dynamic(kind, &request))
            }
            "gatepost.v1.Topology" => Some(as_dynamic(kind, &standard_community().topology?)),
            "gatepost.v1.WaitingPolicy" => {
                let policy = v1::WaitingPolicy {
                    remind_after: span(self.rng.random_range(0..5)),
                    recall_after: span(self.rng.random_range(6..9)),
                    reminders_max: Some(self.rng.random_range(0..4)),
                    ..Default::default()
                };
                Some(as_dynamic(kind, &policy))
            }
            "gatepost.v1.RecognitionPolicy" => {
                let rate = *[0.0, 0.000_1, 0.001, 0.05].choose(self.rng)?;
                Some(as_dynamic(kind, &v1::RecognitionPolicy { false_alarm_rate: rate, ..Default::default() }))
            }
            "gatepost.v1.Recipient" => {
                let (name, phone, building, unit) = *[
                    ("王芳", "13800010001", "3号楼", "802"),
                    ("陈伟", "13800010002", "1号楼", "1502"),
                    ("nobody", "1", "9", "9"),
                ]
                .choose(self.rng)?;
                let recipient = v1::Recipient {
                    name: name.to_owned(),
                    phone: phone.to_owned(),
                    building: building.to_owned(),
                    unit: unit.to_owned(),
                    address: String::new(),
                };
                Some(as_dynamic(kind, &recipient))
            }
            "gatepost.vision.v1.Hello" => Some(as_dynamic(kind, &ManualWorker::hello(4))),
            _ => None,
        }
    }

    fn value(&mut self, field: &FieldDescriptor, depth: usize) -> Value {
        match field.kind() {
            Kind::String => Value::String(self.text(field)),
            Kind::Bool => Value::Bool(self.chance(0.5)),
            Kind::Bytes => Value::Bytes(self.bytes(field).into()),
            Kind::Enum(kind) => {
                let values: Vec<i32> = kind.values().map(|value| value.number()).collect();
                Value::EnumNumber(*values.choose(self.rng).unwrap())
            }
            Kind::Message(kind) => Value::Message(self.nested(&kind, depth + 1)),
            Kind::Float => Value::F32(self.rng.random_range(0.0..1.0)),
            Kind::Double => Value::F64(self.rng.random_range(0.0..300.0)),
            Kind::Int32 => Value::I32(match field.name() {
                "dimension" => 128,
                "width" | "height" => 640,
                _ => self.rng.random_range(0..3),
            }),
            Kind::Int64 => {
                let known = self.known.any(&name(field), self.rng).and_then(|text| text.parse().ok());
                Value::I64(known.unwrap_or_else(|| self.rng.random_range(0..5)))
            }
            other => Value::default_value(&other),
        }
    }

    fn bytes(&mut self, field: &FieldDescriptor) -> Vec<u8> {
        match field.name() {
            "notice_sha256" => vec![7; 32],
            // The words of a scripted frame: the worker of this test does not look at pictures.
            _ => b"face".to_vec(),
        }
    }

    fn text(&mut self, field: &FieldDescriptor) -> String {
        let name = name(field);
        let number = self.rng.random_range(0..1_000_000);
        match &*name {
            "request_id" => {
                let repeated = if self.chance(0.05) { self.known.any(&name, self.rng) } else { None };
                let id = repeated.unwrap_or_else(new_request_id);
                self.known.add(&name, &id, self.rng);
                id
            }
            "parcel_id" if self.chance(0.8) => {
                let fits = self.known.parcel(fitting(field.parent_message().name()), self.rng);
                let parcel = fits.map(|parcel| parcel.id).or_else(|| self.known.any(&name, self.rng));
                parcel.unwrap_or_default()
            }
            "page_token" if self.chance(0.7) => String::new(),
            "time_zone" => TIME_ZONE.to_owned(),
            // Nobody listens there.
            "url" => "https://127.0.0.1:9/hook".to_owned(),
            "email" => format!("somebody{number}@example.org"),
            "phone" => format!("138{number:08}"),
            "gate_id" => NORTH_GATE.to_owned(),
            "building_id" => "building-3".to_owned(),
            "community_id" if field.name() == "id" && self.chance(0.5) => format!("garden-{number}"),
            "courier_id" if field.name() == "id" && self.chance(0.5) => format!("courier-{number}"),
            "tracking_number" if self.chance(0.6) => format!("FZ-{number}"),
            "person_reference" if self.chance(0.8) => format!("person-{number}"),
            _ => {
                let known = if self.chance(0.95) { self.known.any(&name, self.rng) } else { None };
                known.unwrap_or_else(|| format!("word-{number}"))
            }
        }
    }
}

/// The states from which a request can lead on.
fn fitting(request: &str) -> &'static [ParcelState] {
    match request {
        "ConfirmPickupRequest" | "ExtendStayRequest" | "HoldStayRequest" | "ReleaseStayRequest" => {
            &[ParcelState::Waiting]
        }
        "AcceptRecallRequest" | "RefuseRecallRequest" => &[ParcelState::RecallRequested],
        "ReportDoorDeliveryRequest" => &[ParcelState::RecallAccepted, ParcelState::OutForDoorDelivery],
        _ => &[],
    }
}

fn is_mask(field: &FieldDescriptor) -> bool {
    field.kind().as_message().is_some_and(|kind| kind.full_name() == "google.protobuf.FieldMask")
}

fn as_dynamic(kind: &MessageDescriptor, message: &impl Message) -> DynamicMessage {
    DynamicMessage::decode(kind.clone(), &*message.encode_to_vec()).unwrap()
}
