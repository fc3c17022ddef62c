//! A courier company's backend: announces, deposits, follows its events, answers recalls.

use std::sync::atomic::{AtomicU32, Ordering};

use gatepost_proto::v1::{
    self, DepositConsent, DoorDeliveryOutcome, Parcel, ParcelSize, RankedLocker,
    event_service_client::EventServiceClient, get_parcel_request, parcel_service_client::ParcelServiceClient,
    principal,
};
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::{Answer, Authorised, Events, Key, Line, Resident, answer, new_request_id, to_wire};
use crate::world::{COMMUNITY, World};

/// A courier's backend.
pub struct Courier {
    /// As the administrator chose it.
    pub id: String,
    line: Line,
    key: Key,
    events: Mutex<Option<Events>>,
}

/// What is on a parcel's label.
#[derive(Debug, Clone)]
pub struct Label {
    /// Unique for the courier.
    pub tracking_number: String,
    /// Who it is for.
    pub recipient: v1::Recipient,
    /// How large it is.
    pub size: ParcelSize,
    /// What the recipient told the courier.
    pub consent: DepositConsent,
}

impl Label {
    /// A small parcel for a resident, with building and unit apart.
    pub fn to(resident: &Resident) -> Label {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        Label {
            tracking_number: format!("SX-{:06}", NUMBER.fetch_add(1, Ordering::Relaxed)),
            recipient: v1::Recipient {
                name: resident.name.clone(),
                phone: resident.phone.clone(),
                building: resident.building.clone(),
                unit: resident.unit.clone(),
                address: String::new(),
            },
            size: ParcelSize::Small,
            consent: DepositConsent::Unspecified,
        }
    }

    /// Another size.
    pub fn size(self, size: ParcelSize) -> Label {
        Label { size, ..self }
    }

    /// What the recipient told the courier about lockers.
    pub fn consent(self, consent: DepositConsent) -> Label {
        Label { consent, ..self }
    }

    /// Another recipient on the label.
    pub fn recipient(self, recipient: v1::Recipient) -> Label {
        Label { recipient, ..self }
    }

    /// As one of a batch.
    pub fn announcement(&self) -> v1::ParcelAnnouncement {
        v1::ParcelAnnouncement {
            community_id: COMMUNITY.to_owned(),
            tracking_number: self.tracking_number.clone(),
            recipient: Some(self.recipient.clone()),
            size: self.size.into(),
            deposit_consent: self.consent.into(),
        }
    }

    /// As it is announced.
    pub fn request(&self) -> v1::AnnounceParcelRequest {
        v1::AnnounceParcelRequest {
            request_id: new_request_id(),
            community_id: COMMUNITY.to_owned(),
            tracking_number: self.tracking_number.clone(),
            recipient: Some(self.recipient.clone()),
            size: self.size.into(),
            deposit_consent: self.consent.into(),
        }
    }
}

/// An announced parcel.
#[derive(Debug, Clone, PartialEq)]
pub struct Announced {
    /// With its placement.
    pub parcel: Parcel,
    /// Every locker looked at, nearest first.
    pub ranking: Vec<RankedLocker>,
}

impl Courier {
    /// With a courier's key.
    pub fn new(id: &str, line: Line, key: Key) -> Courier {
        Courier { id: id.to_owned(), line, key, events: Mutex::default() }
    }

    /// The same backend, connected to another replica.
    pub fn at(&self, line: &Line) -> Courier {
        Courier::new(&self.id, line.clone(), self.key.clone())
    }

    /// The journey's rpcs, for requests of the test's own.
    pub fn parcels(&self) -> ParcelServiceClient<Authorised> {
        ParcelServiceClient::new(self.line.authorised(&self.key))
    }

    /// The event log's rpcs.
    pub fn event_log(&self) -> EventServiceClient<Authorised> {
        EventServiceClient::new(self.line.authorised(&self.key))
    }

    /// A channel that carries the backend's key.
    pub(super) fn authorised(&self) -> Authorised {
        self.line.authorised(&self.key)
    }

    /// The backend's key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Says that a parcel will come.
    pub async fn announce(&self, label: &Label) -> Answer<Announced> {
        self.announce_as(label.request()).await
    }

    /// Says that a parcel will come, in the test's own words.
    pub async fn announce_as(&self, request: v1::AnnounceParcelRequest) -> Answer<Announced> {
        let answer = answer(self.parcels().announce_parcel(request).await)?;
        Ok(Announced { parcel: answer.parcel.expect("a parcel"), ranking: answer.ranking })
    }

    /// Announces a batch under a new request id.
    pub async fn announce_all(
        &self,
        announcements: Vec<v1::ParcelAnnouncement>,
    ) -> Answer<Vec<v1::announcement_result::Outcome>> {
        self.announce_batch(v1::AnnounceParcelsRequest { request_id: new_request_id(), announcements }).await
    }

    /// Announces a batch, in the test's own words.
    pub async fn announce_batch(
        &self,
        request: v1::AnnounceParcelsRequest,
    ) -> Answer<Vec<v1::announcement_result::Outcome>> {
        let answer = answer(self.parcels().announce_parcels(request).await)?;
        Ok(answer.results.into_iter().map(|result| result.outcome.expect("an outcome")).collect())
    }

    /// Asks again for a place.
    pub async fn suggest(&self, parcel_id: &str) -> Answer<Announced> {
        self.suggest_instead(parcel_id, &[]).await
    }

    /// Puts a parcel into the compartment reserved for it, now.
    pub async fn deposit(&self, parcel: &Parcel) -> Answer<Parcel> {
        let placement = parcel.placement.clone().expect("a placement");
        self.deposit_into(&parcel.id, &placement.locker_id, &placement.compartment_id, None).await
    }

    /// Puts a parcel into a compartment of the courier's own choice, at a time by the courier's clock.
    pub async fn deposit_into(
        &self,
        parcel_id: &str,
        locker_id: &str,
        compartment_id: &str,
        at: Option<Timestamp>,
    ) -> Answer<Parcel> {
        let request = v1::ConfirmDepositRequest {
            request_id: new_request_id(),
            parcel_id: parcel_id.to_owned(),
            locker_id: locker_id.to_owned(),
            compartment_id: compartment_id.to_owned(),
            deposit_time: at.map(to_wire),
        };
        answer(self.parcels().confirm_deposit(request).await).map(|answer| answer.parcel.expect("a parcel"))
    }

    /// Announces a parcel and puts it into the compartment that was suggested.
    pub async fn bring(&self, label: &Label) -> Parcel {
        let announced = self.announce(label).await.expect("the parcel is announced");
        self.deposit(&announced.parcel).await.expect("the parcel is deposited")
    }

    /// Reports that the resident took the parcel out, now.
    pub async fn pick_up(&self, parcel_id: &str) -> Answer<Parcel> {
        self.pick_up_at(parcel_id, None).await
    }

    /// Reports that the resident took the parcel out, at a time by the locker's clock.
    pub async fn pick_up_at(&self, parcel_id: &str, at: Option<Timestamp>) -> Answer<Parcel> {
        let request = v1::ConfirmPickupRequest {
            request_id: new_request_id(),
            parcel_id: parcel_id.to_owned(),
            pickup_time: at.map(to_wire),
        };
        answer(self.parcels().confirm_pickup(request).await).map(|answer| answer.parcel.expect("a parcel"))
    }

    /// Calls a parcel off.
    pub async fn cancel(&self, parcel_id: &str) -> Answer<Parcel> {
        let request = v1::CancelParcelRequest { request_id: new_request_id(), parcel_id: parcel_id.to_owned() };
        answer(self.parcels().cancel_parcel(request).await).map(|answer| answer.parcel.expect("a parcel"))
    }

    /// Will collect an overdue parcel.
    pub async fn accept_recall(&self, parcel_id: &str) -> Answer<Parcel> {
        self.accept_recall_number(parcel_id, 0).await
    }

    /// Answers one recall, and no other.
    pub async fn accept_recall_number(&self, parcel_id: &str, recall_number: i32) -> Answer<Parcel> {
        let parcel_id = parcel_id.to_owned();
        let request = v1::AcceptRecallRequest { request_id: new_request_id(), parcel_id, recall_number };
        answer(self.parcels().accept_recall(request).await).map(|answer| answer.parcel.expect("a parcel"))
    }

    /// Will not collect an overdue parcel.
    pub async fn refuse_recall(&self, parcel_id: &str) -> Answer<v1::RefuseRecallResponse> {
        self.refuse_recall_number(parcel_id, 0).await
    }

    /// Refuses one recall, and no other.
    pub async fn refuse_recall_number(&self, parcel_id: &str, recall_number: i32) -> Answer<v1::RefuseRecallResponse> {
        let request = v1::RefuseRecallRequest {
            request_id: new_request_id(),
            parcel_id: parcel_id.to_owned(),
            reason: "今天没有车".to_owned(),
            recall_number,
        };
        answer(self.parcels().refuse_recall(request).await)
    }

    /// Reports how a door delivery goes, now.
    pub async fn report(&self, parcel_id: &str, outcome: DoorDeliveryOutcome) -> Answer<Parcel> {
        let request = v1::ReportDoorDeliveryRequest {
            request_id: new_request_id(),
            parcel_id: parcel_id.to_owned(),
            outcome: outcome.into(),
            outcome_time: None,
            attempt: 0,
        };
        answer(self.parcels().report_door_delivery(request).await).map(|answer| answer.parcel.expect("a parcel"))
    }

    /// Asks for another place, because these cannot be used: lockers, and compartments or nothing for all of them.
    pub async fn suggest_instead(&self, parcel_id: &str, unusable: &[(&str, &str)]) -> Answer<Announced> {
        let place = |(locker, compartment): &(&str, &str)| v1::UnusablePlace {
            locker_id: (*locker).to_owned(),
            compartment_id: (*compartment).to_owned(),
        };
        let request = v1::SuggestPlacementRequest {
            request_id: new_request_id(),
            parcel_id: parcel_id.to_owned(),
            unusable: unusable.iter().map(place).collect(),
        };
        let answer = answer(self.parcels().suggest_placement(request).await)?;
        Ok(Announced { parcel: answer.parcel.expect("a parcel"), ranking: answer.ranking })
    }

    /// How a parcel stands.
    pub async fn parcel(&self, parcel_id: &str) -> Answer<Parcel> {
        self.look_up(get_parcel_request::Key::ParcelId(parcel_id.to_owned())).await
    }

    /// How a parcel stands, by the courier's own number.
    pub async fn parcel_by_number(&self, tracking_number: &str) -> Answer<Parcel> {
        self.look_up(get_parcel_request::Key::TrackingNumber(tracking_number.to_owned())).await
    }

    async fn look_up(&self, key: get_parcel_request::Key) -> Answer<Parcel> {
        let request = v1::GetParcelRequest { key: Some(key) };
        answer(self.parcels().get_parcel(request).await).map(|answer| answer.parcel.expect("a parcel"))
    }

    /// A page of this courier's parcels.
    pub async fn list(&self, page_size: i32, page_token: &str) -> Answer<v1::ListParcelsResponse> {
        let request = v1::ListParcelsRequest { page_size, page_token: page_token.to_owned(), ..Default::default() };
        answer(self.parcels().list_parcels(request).await)
    }

    /// The next event on this courier's stream, which is opened by the first call where the last acknowledgement
    /// left off.
    pub async fn next_event(&self) -> v1::Event {
        let mut events = self.events.lock().await;
        if events.is_none() {
            *events = Some(self.follow(None).await.expect("the stream opens"));
        }
        events.as_mut().expect("opened just now").next().await
    }

    /// The next event, which has to be of this kind.
    pub async fn expect_event(&self, kind: v1::EventKind) -> v1::Event {
        let event = self.next_event().await;
        assert_eq!(event.kind(), kind, "{event:?}");
        event
    }

    /// The first event of this kind; others before it are passed over.
    pub async fn await_event(&self, kind: v1::EventKind) -> v1::Event {
        loop {
            let event = self.next_event().await;
            if event.kind() == kind {
                return event;
            }
        }
    }

    /// Closes the stream that `next_event` reads; the next call opens another.
    pub async fn hang_up(&self) {
        *self.events.lock().await = None;
    }

    /// A stream of its own.
    pub async fn follow(&self, after_sequence: Option<i64>) -> Answer<Events> {
        let stream = answer(self.event_log().stream_events(v1::StreamEventsRequest { after_sequence }).await)?;
        Ok(Events::new(stream))
    }

    /// Remembers that everything up to an event was handled.
    pub async fn acknowledge(&self, sequence: i64) -> Answer<i64> {
        let request = v1::AcknowledgeEventsRequest { sequence };
        answer(self.event_log().acknowledge_events(request).await).map(|answer| answer.acknowledged_sequence)
    }
}

impl World {
    /// A courier's backend; registered and given a key at the first call.
    pub async fn courier(&self, id: &str) -> Courier {
        let known = self.people().couriers.get(id).cloned();
        let key = match known {
            Some(key) => key,
            None => {
                let administrator = self.administrator();
                administrator.add_courier(id).await.expect("the courier is registered");
                let who = principal::Principal::CourierId(id.to_owned());
                let (_, key) = administrator.issue_key(who).await.expect("the key is issued");
                self.people().couriers.insert(id.to_owned(), key.clone());
                key
            }
        };
        Courier::new(id, self.line().clone(), key)
    }
}
