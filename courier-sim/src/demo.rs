//! The demonstration: sets the stage, lets the actors in, plays the story and says what it showed.
//!
//! Every actor is a task of its own that speaks gRPC alone; what they share in memory is only what they noticed.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use gatepost_process::client_tls::ClientTls;
use gatepost_process::clock::SharedClock;
use gatepost_process::shutdown::Shutdown;
use jiff::SignedDuration;

use crate::app;
use crate::camera::Camera;
use crate::claims::Claims;
use crate::client::{Key, Platform};
use crate::journal::Journal;
use crate::observer;
use crate::scene::Passage;
use crate::server::{CourierServer, Routes, ServerConfig};
use crate::story::{self, Passages, Stage};
use crate::terminal::{self, TerminalConfig, TerminalNote};
use crate::world::people::{Album, CHEN, LI};
use crate::world::place::{NORTH_GATE, SOUTH_GATE};
use crate::world::{Door, Office};

pub mod progress;

use progress::Progress;

const CONNECT_BOUND: SignedDuration = SignedDuration::from_secs(30);
const END_BOUND: Duration = Duration::from_secs(5);
const CHAPTERS: u64 = 9;
/// Fetches parcel C at once.
const NEAR_TERMINAL: &str = "terminal-1";
/// Goes to building 2, and takes its time.
const FAR_TERMINAL: &str = "terminal-2";

/// What the demonstration needs to know.
pub struct DemoConfig {
    /// Where the platform is.
    pub platform: String,
    /// The administrator's key, as a file.
    pub admin_key_file: PathBuf,
    /// Whom to trust, and which certificate to show.
    pub tls: ClientTls,
    /// The folder of photographs.
    pub photographs: PathBuf,
    /// The community to create; none of this id may exist.
    pub community: String,
    /// T1.
    pub remind_after: SignedDuration,
    /// T2.
    pub recall_after: SignedDuration,
    /// Where the residents' app listens.
    pub app_listen: SocketAddr,
    /// What the platform signs its webhooks with.
    pub app_secret: String,
    /// The time.
    pub clock: SharedClock,
}

/// Plays the story; what it showed.
pub async fn run(config: DemoConfig) -> anyhow::Result<Claims> {
    let shutdown = Shutdown::new();
    shutdown.listen_to_signals()?;
    let interrupted = shutdown.draining();
    let claims = tokio::select! {
        claims = perform(config, &shutdown) => claims,
        () = interrupted.cancelled() => Err(anyhow::anyhow!("the demonstration was interrupted")),
    };
    shutdown.drain();
    shutdown.finished(END_BOUND).await?;
    claims
}

async fn perform(config: DemoConfig, shutdown: &Shutdown) -> anyhow::Result<Claims> {
    let progress = Progress::begin(config.clock.clone(), CHAPTERS);
    progress.chapter("the stage is set");
    let mut stage = set(config, progress, shutdown).await?;
    stage.progress.chapter_over();
    play(&mut stage).await;
    stage.progress.end();
    stage.progress.say("the end");
    Ok(stage.claims)
}

/// The chapters, in the order of the story. One that breaks off fails its claims, and the others are played on.
async fn play(stage: &mut Stage) {
    macro_rules! chapter {
        ($name:ident) => {
            stage.progress.chapter(story::$name::TITLE);
            let outcome = story::$name::play(stage).await;
            stage.close(story::$name::TITLE, story::$name::CLAIMS, outcome);
        };
    }
    chapter!(placement);
    chapter!(reminder);
    chapter!(stranger);
    chapter!(pickup);
    chapter!(usual_hour);
    chapter!(forgotten);
    chapter!(withdrawn);
    chapter!(closing);
}

async fn set(config: DemoConfig, progress: Progress, shutdown: &Shutdown) -> anyhow::Result<Stage> {
    let clock = config.clock.clone();
    let album = Album::open(&config.photographs)?;
    let app = Journal::new(clock.clone());
    let serving = app::start(config.app_listen, &config.app_secret, app.clone(), shutdown.draining()).await?;
    shutdown.spawn("app", serving);
    // Composing frames takes a second or two of one core, while the administrator types.
    let composing = {
        let album = album.clone();
        tokio::task::spawn_blocking(move || passages(&album))
    };
    let key = Key::read(&config.admin_key_file)?;
    let platform = Platform::connect(&config.platform, &config.tls, &*clock, CONNECT_BOUND).await?;
    let office = Office { platform: platform.clone(), key, community_id: config.community, clock: clock.clone() };
    office.found_community().await?;
    let layer = office.set_policy(config.remind_after, config.recall_after).await?;
    progress.say(format!(
        "community {}: T1 = {:#}, T2 = {:#}, decided by the {layer}",
        office.community_id, config.remind_after, config.recall_after
    ));
    let courier_id = format!("{}-courier", office.community_id);
    office.register_courier(&courier_id).await?;
    let courier_key = office.issue_key(Door::Courier(&courier_id)).await?;
    let south = camera(&office, SOUTH_GATE, shutdown).await?;
    let north = camera(&office, NORTH_GATE, shutdown).await?;
    let residents = office.move_in().await?;
    for person in [CHEN, LI] {
        let resident_id = residents.get(person.name).context("a resident is missing")?;
        let photograph = person.enrolled_from.context("this is a bug: no photograph to enrol from")?;
        let enrolled = office.enrol(resident_id, &album, photograph).await?;
        progress.say(format!(
            "{resident_id} enrolled from one photograph: face of {:.0} px, score {:.2}",
            enrolled.face_width, enrolled.score
        ));
    }
    let passages = composing.await.context("composing frames broke off")??;
    let events = Journal::new(clock.clone());
    let observer =
        observer::watch(platform.clone(), courier_key.clone(), clock.clone(), events.clone(), shutdown.draining());
    shutdown.spawn("observer", observer);
    let server = courier_server(platform, courier_key, clock.clone(), shutdown).await?;
    let near_terminal = terminal(NEAR_TERMINAL, &server, &clock, shutdown).await?;
    let far_terminal = terminal(FAR_TERMINAL, &server, &clock, shutdown).await?;
    progress.say(format!("courier server at {}, terminals and cameras are there", server.address()));
    Ok(Stage {
        clock,
        office,
        residents,
        counter: server.counter(),
        events,
        app,
        south,
        north,
        near_terminal,
        far_terminal,
        passages,
        claims: Claims::default(),
        progress,
        parcels: Default::default(),
        remind_after: config.remind_after,
        recall_after: config.recall_after,
        t2_of_a: None,
        usual_hour_of_b: None,
    })
}

/// Photographs other than those of the enrolment where there are any; else its photograph mirrored, in another light.
fn passages(album: &Album) -> anyhow::Result<Passages> {
    let early = Passage { seed: 11, frames: 3, brightness: 10.0, ..Passage::default() };
    let late = Passage { seed: 12, frames: 12, brightness: -12.0, contrast: 0.9, ..Passage::default() };
    let stranger = Passage { seed: 13, frames: 8, ..Passage::default() };
    let li = Passage { seed: 14, frames: 8, mirrored: true, brightness: 15.0, contrast: 0.85, ..Passage::default() };
    Ok(Passages {
        chen_early: album.passage("obama2", &early)?,
        chen_late: album.passage("obama3", &late)?,
        stranger: album.passage("astronaut", &stranger)?,
        li: album.passage("biden", &li)?,
    })
}

async fn camera(office: &Office, gate_id: &str, shutdown: &Shutdown) -> anyhow::Result<Camera> {
    let key = office.issue_key(Door::Camera(gate_id)).await?;
    let (camera, task) = Camera::start(office.platform.clone(), key, office.clock.clone(), shutdown.draining());
    shutdown.spawn("camera", task);
    Ok(camera)
}

async fn courier_server(
    platform: Platform,
    key: Key,
    clock: SharedClock,
    shutdown: &Shutdown,
) -> anyhow::Result<CourierServer> {
    let far = [(LI.building.to_owned(), FAR_TERMINAL.to_owned())];
    let routes = Routes { by_building: far.into(), otherwise: NEAR_TERMINAL.to_owned() };
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    CourierServer::start(ServerConfig { platform, key, listen, routes, state_file: None, clock }, shutdown).await
}

async fn terminal(
    id: &str,
    server: &CourierServer,
    clock: &SharedClock,
    shutdown: &Shutdown,
) -> anyhow::Result<Journal<TerminalNote>> {
    // The far terminal is still on its way when the resident comes, however slow this machine is.
    let to_locker = if id == FAR_TERMINAL { SignedDuration::from_mins(10) } else { SignedDuration::from_millis(300) };
    let config = TerminalConfig {
        server: format!("http://{}", server.address()),
        terminal_id: id.to_owned(),
        to_locker,
        to_door: SignedDuration::from_millis(300),
        nobody_home: false,
        clock: clock.clone(),
    };
    let journal = Journal::new(clock.clone());
    shutdown.spawn("terminal", terminal::run(config, journal.clone(), shutdown.draining()));
    journal.wait_for("the subscription of a terminal", CONNECT_BOUND, |note| *note == TerminalNote::Subscribed).await?;
    Ok(journal)
}
