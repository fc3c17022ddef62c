//! What the platform has told so far: ids, numbers and tokens, by the name of their field. Messages that name what there
//! is get further than messages of words that mean nothing.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use gatepost_proto::v1::{self, ParcelState};
use prost_reflect::{DynamicMessage, FieldDescriptor, ReflectMessage as _, Value};
use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};

/// Of one name; later ones take the place of any of them.
const MOST: usize = 48;

/// Values by name.
#[derive(Default)]
pub struct Known {
    values: Mutex<HashMap<String, Vec<String>>>,
    parcels: Mutex<Vec<v1::Parcel>>,
}

impl Known {
    /// Remembers a value.
    pub fn add(&self, name: &str, value: &str, rng: &mut StdRng) {
        let mut known = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let values = known.entry(name.to_owned()).or_default();
        if values.iter().any(|known| known == value) {
            return;
        }
        if values.len() < MOST {
            values.push(value.to_owned());
        } else {
            values[rng.random_range(0..MOST)] = value.to_owned();
        }
    }

    /// One of the values of a name.
    pub fn any(&self, name: &str, rng: &mut StdRng) -> Option<String> {
        let known = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(name)?.choose(rng).cloned()
    }

    /// One of the parcels that were last seen in one of these states.
    pub fn parcel(&self, states: &[ParcelState], rng: &mut StdRng) -> Option<v1::Parcel> {
        let parcels = self.parcels.lock().unwrap_or_else(PoisonError::into_inner);
        let fit: Vec<&v1::Parcel> = parcels.iter().filter(|parcel| states.contains(&parcel.state())).collect();
        fit.choose(rng).map(|parcel| (*parcel).clone())
    }

    /// Takes in an answer: every short text in it, and the parcels.
    pub fn learn(&self, answer: &DynamicMessage, rng: &mut StdRng) {
        if answer.descriptor().full_name() == "gatepost.v1.Parcel"
            && let Ok(parcel) = answer.transcode_to::<v1::Parcel>()
        {
            let mut parcels = self.parcels.lock().unwrap_or_else(PoisonError::into_inner);
            parcels.retain(|known| known.id != parcel.id);
            if parcels.iter().filter(|known| known.state() == parcel.state()).count() >= MOST
                && let Some(oldest) = parcels.iter().position(|known| known.state() == parcel.state())
            {
                parcels.remove(oldest);
            }
            parcels.push(parcel);
        }
        for (field, value) in answer.fields() {
            self.learn_value(&field, value, rng);
        }
    }

    fn learn_value(&self, field: &FieldDescriptor, value: &Value, rng: &mut StdRng) {
        match value {
            Value::String(text) if !text.is_empty() && text.len() <= 300 => self.add(&name(field), text, rng),
            Value::I64(number) => self.add(&name(field), &number.to_string(), rng),
            Value::Message(message) => self.learn(message, rng),
            Value::List(list) => list.iter().for_each(|value| self.learn_value(field, value, rng)),
            _ => {}
        }
    }
}

/// What a field's values are called elsewhere: the `id` of a parcel is a `parcel_id` in other messages.
pub fn name(field: &FieldDescriptor) -> String {
    match (field.name(), field.parent_message().name()) {
        ("id", "WebhookEndpoint") => "endpoint_id".to_owned(),
        ("id", noun) => format!("{}_id", noun.to_lowercase()),
        ("next_page_token", _) => "page_token".to_owned(),
        ("after_sequence" | "passed_sequence" | "newest_sequence" | "acknowledged_sequence", _) => {
            "sequence".to_owned()
        }
        ("dead_letters_after" | "all_after", _) => "sequence".to_owned(),
        (name, _) => name.to_owned(),
    }
}
