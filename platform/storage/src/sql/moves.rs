//! Which deadlines a transaction moves: what each parcel's was when it was read and is as it was saved. The index of
//! deadlines follows this once the transaction is committed.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use gatepost_domain::{Parcel, Timestamp, id::ParcelId, ports::Move};

use super::store::Tx;

#[derive(Debug, Default)]
pub(super) struct Moves(Mutex<HashMap<ParcelId, Seen>>);

#[derive(Debug, Clone, Copy)]
struct Seen {
    was: Option<Timestamp>,
    saved: Option<Option<Timestamp>>,
}

impl Tx {
    /// The deadlines that this transaction moved so far.
    pub fn moves(&self) -> Vec<Move> {
        let seen = self.moves.0.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = seen.iter().filter_map(|(parcel, seen)| {
            let due = seen.saved?;
            (due != seen.was).then_some(Move { parcel: *parcel, was: seen.was, due })
        });
        moved.collect()
    }

    pub(super) fn read_parcels(&self, parcels: &[Parcel]) {
        let mut seen = self.moves.0.lock().unwrap_or_else(PoisonError::into_inner);
        for parcel in parcels {
            seen.entry(parcel.id()).or_insert(Seen { was: parcel.next_due(), saved: None });
        }
    }

    pub(super) fn saved_parcel(&self, parcel: &Parcel) {
        let mut seen = self.moves.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(parcel.id()).or_insert(Seen { was: None, saved: None }).saved = Some(parcel.next_due());
    }
}
