//! `gatepost admin recognition model`: another model of faces, beside the one in use and then in its place.

use clap::Subcommand;
use gatepost_proto::v1::{
    FinishModelUpgradeRequest, GetModelUpgradeRequest, ModelUpgrade, StartModelUpgradeRequest, SwitchModelRequest,
};
use serde_json::json;

use crate::admin::{connection::Client, failure::answer, listing::Listing, request_id};

/// What can be done about the model.
#[derive(Debug, Subcommand)]
pub(in crate::admin) enum Command {
    /// Welcome workers of another model, enrol under both, and count in how far they agree.
    Start {
        /// The new model, as its worker's log names it.
        model: String,
    },
    /// Show the model in use, how many residents are enrolled under each, and in how far both agree.
    Show,
    /// Have one of both recognise from now on: the new one, or to roll back the old one.
    Switch {
        /// Which.
        model: String,
    },
    /// Delete the faces of the model that is not in use. That cannot be taken back.
    Finish,
}

/// Runs one command.
pub(in crate::admin) async fn run(client: &Client, command: Command, json: bool) -> anyhow::Result<()> {
    let request_id = request_id::fresh();
    match command {
        Command::Start { model } => {
            let request = StartModelUpgradeRequest { request_id, model };
            let started = answer(client.models().start_model_upgrade(request).await)?;
            print(started.upgrade.unwrap_or_default(), json)
        }
        Command::Show => {
            let shown = answer(client.models().get_model_upgrade(GetModelUpgradeRequest {}).await)?;
            let none = ModelUpgrade { model_in_use: shown.model_in_use, ..Default::default() };
            print(shown.upgrade.unwrap_or(none), json)
        }
        Command::Switch { model } => {
            let request = SwitchModelRequest { request_id, model };
            let switched = answer(client.models().switch_model(request).await)?;
            print(switched.upgrade.unwrap_or_default(), json)
        }
        Command::Finish => {
            let done = answer(client.models().finish_model_upgrade(FinishModelUpgradeRequest { request_id }).await)?;
            println!("{} stays; {} faces of the other model deleted", done.model_in_use, done.faces_deleted);
            Ok(())
        }
    }
}

fn print(upgrade: ModelUpgrade, json: bool) -> anyhow::Result<()> {
    let mut list = Listing::new(&[
        "in_use",
        "old",
        "new",
        "enrolled_old",
        "enrolled_new",
        "to_enrol_again",
        "same",
        "neither",
        "only_old",
        "only_new",
        "different",
    ]);
    let said = upgrade.agreement.unwrap_or_default();
    list.push([
        json!(upgrade.model_in_use),
        json!(upgrade.old_model),
        json!(upgrade.new_model),
        json!(upgrade.enrolled_old),
        json!(upgrade.enrolled_new),
        json!(upgrade.to_enrol_again),
        json!(said.same),
        json!(said.neither),
        json!(said.only_old),
        json!(said.only_new),
        json!(said.different),
    ]);
    Ok(list.print(json)?)
}
