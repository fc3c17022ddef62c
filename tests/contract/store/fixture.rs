//! A small world to keep: one community, one courier, residents and parcels by number.

use gatepost_domain::{
    Parcel, State, Timestamp,
    community::{Community, DisplayPolicy},
    consent::DepositConsent,
    id::{NoticeId, ParcelId, ResidentId, TemplateId},
    opening::{OpeningHours, Weekday},
    parcel::{Facts, Hold, RecallBasis, ReminderPlan, Stay},
    placement::Placement,
    recipient::{Addressee, Label},
    resident::Resident,
    topology::{Building, Compartment, Gate, Locker, Size, Topology, Walkway},
};
use gatepost_storage::{Channel, CommunityKey, Courier, Delivery, NoticeRecord, ResidentKey, Store, Template};
use jiff::{SignedDuration, tz::TimeZone};
use uuid::Uuid;

/// The model that faces are enrolled under.
pub const MODEL: &str = "sface-2021dec";

/// When everything begins; not a whole second.
pub fn t(minutes: i64) -> Timestamp {
    "2026-03-02T08:00:00.123Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

pub fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub fn parcel_id(number: u128) -> ParcelId {
    ParcelId(Uuid::from_u128(number))
}

pub fn resident_id(number: u128) -> ResidentId {
    ResidentId(Uuid::from_u128(number))
}

pub fn community(name: &str) -> Community {
    Community {
        id: id(name),
        display_name: "莲花苑".to_owned(),
        time_zone: TimeZone::get("Asia/Shanghai").unwrap(),
        topology: Topology {
            buildings: vec![Building { id: id("3号楼"), name: "三号楼".to_owned() }],
            gates: vec![Gate { id: id("north"), name: "北门".to_owned() }],
            lockers: vec![Locker {
                id: id("locker-1"),
                name: "一号柜".to_owned(),
                offline: true,
                opening_hours: vec![OpeningHours {
                    weekdays: vec![Weekday::Sunday, Weekday::Monday],
                    from_minute: 1_380,
                    to_minute: 60,
                }],
                compartments: vec![Compartment { id: id("A1"), size: Size::Medium, accessible: true }],
            }],
            junctions: vec!["fountain".to_owned()],
            walkways: vec![Walkway { from: "north".to_owned(), to: "fountain".to_owned(), metres: 12.5, steps: true }],
        },
        display: DisplayPolicy::Locker,
    }
}

pub fn courier(name: &str) -> Courier {
    Courier { id: id(name), display_name: "快递 Express".to_owned() }
}

/// The community `lotus`, the courier `swift` and residents 1 to `residents`.
pub async fn settle(store: &Store, residents: u128) {
    let tx = store.write().await.unwrap();
    tx.insert_community(&community("lotus")).await.unwrap();
    tx.insert_courier(&courier("swift")).await.unwrap();
    for number in 1..=residents {
        tx.insert_resident(&resident(number)).await.unwrap();
    }
    tx.commit().await.unwrap();
}

pub fn resident(number: u128) -> Resident {
    Resident {
        id: resident_id(number),
        community: id("lotus"),
        name: format!("王芳 {number}"),
        phone: format!("+86 138 0013 {number:04}"),
        email: format!("wang{number}@example.org"),
        building: id("3号楼"),
        unit: format!("{number}02"),
        person_reference: String::new(),
        needs_accessible: number.is_multiple_of(2),
        under_14: number.is_multiple_of(3),
        consents: Vec::new(),
        faces: 0,
        face_models: Vec::new(),
    }
}

pub fn facts(number: u128) -> Facts {
    Facts {
        id: parcel_id(number),
        courier: id("swift"),
        community: id("lotus"),
        tracking_number: format!("单号-{number}"),
        size: Size::Large,
        deposit_consent: DepositConsent::Given,
        announced_at: t(0),
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
    }
}

pub fn addressed_to(number: u128) -> Addressee {
    Addressee::resident(&resident(number))
}

pub fn label() -> Label {
    Label {
        name: "李伟".to_owned(),
        phone: "13900001111".to_owned(),
        building: "三号楼".to_owned(),
        unit: "1502".to_owned(),
        address: "莲花苑三号楼1502室".to_owned(),
    }
}

pub fn stay(compartment: &str) -> Stay {
    Stay {
        locker: id("一号柜"),
        compartment: id(compartment),
        deposited_at: t(1),
        remind_from: t(60),
        recall_at: t(300),
        recall_basis: RecallBasis::Refusal,
        extended: true,
        hold: Some(Hold { since: t(20), until: t(40) }),
        door_attempts: 3,
        recalls: 1,
        reminders_sent: 2,
        last_reminded_at: Some(t(70)),
    }
}

pub fn reserved(compartment: &str, until: Timestamp) -> State {
    State::Announced {
        placement: Placement::Locker {
            locker: id("一号柜"),
            compartment: id(compartment),
            walking_metres: 41.25,
            reserved_until: until,
        },
    }
}

pub fn waiting(compartment: &str) -> State {
    State::Waiting { stay: stay(compartment), plan: ReminderPlan::AtT1 }
}

/// Parcel `number` of resident 1.
pub fn parcel(number: u128, state: State) -> Parcel {
    parcel_for(number, 1, state)
}

pub fn parcel_for(number: u128, resident: u128, state: State) -> Parcel {
    Parcel::restore(facts(number), addressed_to(resident), state, t(2), 0)
}

pub fn in_state(parcel: &Parcel, state: State) -> Parcel {
    Parcel::restore(parcel.facts().clone(), parcel.addressee().clone(), state, t(3), parcel.version())
}

pub async fn keep(store: &Store, parcel: &Parcel) -> Parcel {
    let tx = store.write().await.unwrap();
    let kept = tx.insert_parcel(parcel, t(0)).await.unwrap();
    tx.commit().await.unwrap();
    kept
}

pub fn template(number: u128, resident: u128) -> Template {
    Template {
        id: TemplateId(Uuid::from_u128(number)),
        resident: resident_id(resident),
        model: MODEL.to_owned(),
        embedding: vec![0, 159, 146, 150, 255],
        enrolled_at: t(0),
    }
}

pub fn community_key(name: &str, generation: i64) -> CommunityKey {
    CommunityKey {
        community: id(name),
        generation,
        master: "0123456789abcdef".to_owned(),
        wrapped: vec![0, 171, generation as u8],
        created_at: t(generation),
    }
}

pub fn resident_key(resident: u128, generation: i64) -> ResidentKey {
    ResidentKey {
        resident: resident_id(resident),
        community: id("lotus"),
        generation,
        wrapped: vec![0, 171, resident as u8],
    }
}

pub fn notice(number: u128, parcel: u128, resident: u128) -> NoticeRecord {
    NoticeRecord {
        id: NoticeId(Uuid::from_u128(number)),
        parcel: parcel_id(parcel),
        resident: resident_id(resident),
        channel: Channel::Webhook,
        cause: gatepost_domain::ReminderCause::SeenAtGate { gate: id("北门"), similarity: Some(0.625) },
        decided_at: t(60),
        delivery: Delivery::Pending,
        attempts: 0,
        next_attempt_at: Some(t(60)),
        last_error: String::new(),
        traceparent: String::new(),
    }
}
