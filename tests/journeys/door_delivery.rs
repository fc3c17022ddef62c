//! An overdue parcel is collected and brought to the door, by a courier's own server and terminal.

use courier_sim::{
    client::{Key as SimKey, Platform},
    journal::Journal,
    server::{CourierServer, Routes, ServerConfig},
    terminal::{self, TerminalConfig, TerminalNote},
};
use gatepost_process::{client_tls::ClientTls, shutdown::Shutdown};
use gatepost_proto::{
    courier::TerminalOutcome,
    v1::{DoorDeliveryOutcome, EventKind, Parcel, ParcelState},
};
use gatepost_tests::{
    clients::{Courier, Label},
    world::{World, hours},
};
use jiff::SignedDuration;
use tonic::Code;

on_both_stacks!(the_terminal_is_instructed_and_brings_it);

const BOUND: SignedDuration = SignedDuration::from_secs(20);

/// A courier's own server with one terminal; both end when this is dropped.
pub struct Fleet {
    shutdown: Shutdown,
    /// What the terminal noticed.
    pub terminal: Journal<TerminalNote>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.shutdown.drain();
    }
}

impl Fleet {
    /// Starts both. The courier of the handheld walks in no time, or never sets out.
    pub async fn start(world: &World, courier: &Courier, walks: bool) -> Fleet {
        let shutdown = Shutdown::new();
        let clock = world.clock();
        let config = ServerConfig {
            platform: Platform::at(&world.url(), &ClientTls::default()).unwrap(),
            key: SimKey::new(&courier.key().secret()).unwrap(),
            listen: ([127, 0, 0, 1], 0).into(),
            routes: Routes { otherwise: "terminal-1".to_owned(), ..Routes::default() },
            state_file: None,
            clock: gatepost_process::clock::ManualClock::shared(clock),
        };
        let server = CourierServer::start(config, &shutdown).await.unwrap();
        let config = TerminalConfig {
            server: format!("http://{}", server.address()),
            terminal_id: "terminal-1".to_owned(),
            to_locker: if walks { SignedDuration::ZERO } else { hours(24 * 365) },
            to_door: SignedDuration::ZERO,
            nobody_home: false,
            clock: clock.shared(),
        };
        let journal = Journal::new(clock.shared());
        shutdown.spawn("terminal", terminal::run(config, journal.clone(), shutdown.draining()));
        let fleet = Fleet { shutdown, terminal: journal };
        fleet.noticed("the subscription", |note| *note == TerminalNote::Subscribed).await;
        fleet
    }

    /// Waits for something the terminal notices.
    pub async fn noticed(&self, what: &str, wanted: impl Fn(&TerminalNote) -> bool) -> TerminalNote {
        self.terminal.wait_for(what, BOUND, wanted).await.unwrap().what
    }
}

async fn the_terminal_is_instructed_and_brings_it(world: World) {
    let courier = world.courier("swift-express").await;
    let fleet = Fleet::start(&world, &courier, true).await;
    let label = Label::to(&world.resident("赵敏"));
    let parcel = courier.bring(&label).await;
    world.let_pass(hours(72)).await;
    let note = fleet.noticed("the instruction", |note| matches!(note, TerminalNote::Instructed(_))).await;
    let TerminalNote::Instructed(instruction) = note else { unreachable!() };
    let deposit = parcel.deposit.unwrap();
    assert_eq!((instruction.tracking_number, instruction.locker_id), (label.tracking_number, deposit.locker_id));
    assert_eq!((&*instruction.building, &*instruction.unit), ("3号楼", "1101"));
    for outcome in [TerminalOutcome::Collected, TerminalOutcome::Delivered] {
        fleet
            .noticed(
                "the report",
                |note| matches!(note, TerminalNote::Reported { outcome: reported, .. } if *reported == outcome),
            )
            .await;
    }
    assert_eq!(courier.parcel(&parcel.id).await.unwrap().state(), ParcelState::DeliveredToDoor);
}

#[tokio::test]
async fn a_withdrawn_recall_stops_the_terminal() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let fleet = Fleet::start(&world, &courier, false).await;
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    world.let_pass(hours(72)).await;
    fleet.noticed("the instruction", |note| matches!(note, TerminalNote::Instructed(_))).await;
    courier.pick_up(&parcel.id).await.unwrap();
    let number = parcel.tracking_number.clone();
    fleet
        .noticed(
            "the withdrawal",
            |note| matches!(note, TerminalNote::Withdrawn { tracking_number, .. } if *tracking_number == number),
        )
        .await;
}

/// A parcel whose recall was accepted.
async fn recalled(world: &World, courier: &Courier) -> Parcel {
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    world.let_pass(hours(72)).await;
    courier.accept_recall(&parcel.id).await.unwrap()
}

#[tokio::test]
async fn the_events_tell_every_stage() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let parcel = recalled(&world, &courier).await;
    let states = [
        (DoorDeliveryOutcome::Collected, ParcelState::OutForDoorDelivery),
        (DoorDeliveryOutcome::Collected, ParcelState::OutForDoorDelivery),
        (DoorDeliveryOutcome::Failed, ParcelState::DoorDeliveryFailed),
        (DoorDeliveryOutcome::Delivered, ParcelState::DeliveredToDoor),
        (DoorDeliveryOutcome::Delivered, ParcelState::DeliveredToDoor),
        (DoorDeliveryOutcome::Collected, ParcelState::DeliveredToDoor),
    ];
    for (outcome, state) in states {
        assert_eq!(courier.report(&parcel.id, outcome).await.unwrap().state(), state, "{outcome:?}");
    }
    let refused = courier.report(&parcel.id, DoorDeliveryOutcome::Failed).await.unwrap_err();
    assert_eq!((refused.code, &*refused.metadata["state"]), (Code::FailedPrecondition, "DELIVERED_TO_DOOR"));
    courier.await_event(EventKind::RecallAccepted).await;
    for kind in [EventKind::Collected, EventKind::DoorDeliveryFailed, EventKind::DeliveredToDoor] {
        courier.expect_event(kind).await;
    }
}

#[tokio::test]
async fn a_report_out_of_order_ends_in_the_same_state() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let parcel = courier.bring(&Label::to(&world.resident("赵敏"))).await;
    world.let_pass(hours(72)).await;
    // The acceptance and the collection get lost, or come later than the delivery.
    let delivered = courier.report(&parcel.id, DoorDeliveryOutcome::Delivered).await.unwrap();
    assert_eq!(delivered.state(), ParcelState::DeliveredToDoor);
    assert_eq!(courier.report(&parcel.id, DoorDeliveryOutcome::Collected).await.unwrap(), delivered);
    assert_eq!(courier.accept_recall(&parcel.id).await.unwrap(), delivered);
    courier.await_event(EventKind::RecallRequested).await;
    for kind in [EventKind::RecallAccepted, EventKind::Collected, EventKind::DeliveredToDoor] {
        courier.expect_event(kind).await;
    }
}

#[tokio::test]
async fn a_collected_parcel_leaves_its_compartment_free() {
    let world = World::new().await;
    let courier = world.courier("swift-express").await;
    let parcel = recalled(&world, &courier).await;
    let deposit = parcel.deposit.clone().unwrap();
    let wang = world.resident("王芳");
    let next = courier.announce(&Label::to(&wang)).await.unwrap().parcel;
    let taken = courier.deposit_into(&next.id, &deposit.locker_id, &deposit.compartment_id, None).await.unwrap_err();
    assert_eq!(&*taken.reason, "COMPARTMENT_TAKEN");
    courier.report(&parcel.id, DoorDeliveryOutcome::Collected).await.unwrap();
    courier.deposit_into(&next.id, &deposit.locker_id, &deposit.compartment_id, None).await.unwrap();
}
