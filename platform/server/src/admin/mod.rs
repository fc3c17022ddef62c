//! `gatepost admin`: a property's staff at the shell. One file a noun, and the imports of whole files in `import`.
//!
//! A pure client: it speaks the public gRPC interface with an administrator's key and nothing else, so whatever it
//! does can be done by any other tooling. No rule of the journey lives here.

mod audit;
mod communities;
mod community_file;
mod connection;
mod couriers;
mod explain;
mod failure;
mod import;
mod keys;
mod listing;
mod parcels;
mod personal;
mod policies;
mod recognition;
mod request_id;
mod residents;
mod webhooks;

use clap::{Args, Subcommand};
use jiff::Timestamp;

use connection::ConnectionArgs;

/// The arguments of `gatepost admin`.
#[derive(Debug, Args)]
pub struct AdminArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    /// Print lists as JSON instead of as tables.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// Communities and their topology.
    #[command(subcommand)]
    Community(communities::Command),
    /// Waiting policies: T1, T2, quiet hours.
    #[command(subcommand)]
    Policy(policies::Command),
    /// How sure the gates have to be, and what they mistook.
    #[command(subcommand)]
    Recognition(recognition::Command),
    /// Courier companies.
    #[command(subcommand)]
    Courier(couriers::Command),
    /// Keys of couriers, cameras, workers and administrators.
    #[command(subcommand)]
    Key(keys::Command),
    /// Webhook endpoints of couriers.
    #[command(subcommand)]
    Webhook(webhooks::Command),
    /// Residents, their consent and their faces.
    #[command(subcommand)]
    Resident(residents::Command),
    /// A community's residents as one CSV file.
    #[command(subcommand)]
    Roster(import::RosterCommand),
    /// Past pickups as one CSV file.
    #[command(subcommand)]
    Pickups(import::PickupsCommand),
    /// Parcels whose recipient nobody could be told for sure.
    #[command(subcommand)]
    Parcels(parcels::Command),
    /// Who of the staff looked at what is personal.
    #[command(subcommand)]
    Audit(audit::Command),
    /// List the reminders sent for a resident's parcels, newest first.
    Reminders {
        /// The resident's id.
        resident: String,
    },
    /// Explain why somebody was reminded or not, and why a recall was requested.
    Explain {
        /// The id of a decision, a parcel or a resident.
        id: String,
        /// Fail unless every decision is made again, bit for bit, from what is recorded.
        #[arg(long)]
        replay: bool,
    },
}

/// Runs one command against the platform.
pub async fn run(args: AdminArgs) -> anyhow::Result<()> {
    let client = args.connection.connect().await?;
    let json = args.json;
    match args.noun {
        Noun::Community(command) => communities::run(&client, command, json).await,
        Noun::Policy(command) => policies::run(&client, command, json).await,
        Noun::Recognition(command) => recognition::run(&client, command, json).await,
        Noun::Courier(command) => couriers::run(&client, command, json).await,
        Noun::Key(command) => keys::run(&client, command, json).await,
        Noun::Webhook(command) => webhooks::run(&client, command, json).await,
        Noun::Resident(command) => residents::run(&client, command, json).await,
        Noun::Roster(command) => import::run_roster(&client, command).await,
        Noun::Pickups(command) => import::run_pickups(&client, command).await,
        Noun::Parcels(command) => parcels::run(&client, command, json).await,
        Noun::Audit(command) => audit::run(&client, command, json).await,
        Noun::Reminders { resident } => parcels::reminders(&client, resident, json).await,
        Noun::Explain { id, replay } => explain::run(&client, id, replay, json).await,
    }
}

/// A wire time as a timestamp; `None` when unset or out of range.
fn timestamp(time: Option<prost_types::Timestamp>) -> Option<Timestamp> {
    time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Shell {
        #[command(flatten)]
        admin: AdminArgs,
    }

    #[test]
    fn the_command_line_is_well_formed() {
        <Shell as clap::CommandFactory>::command().debug_assert();
    }

    #[test]
    fn the_commands_of_the_documentation_parse() {
        for line in [
            "community import lotus-garden.toml --update",
            "community compartments lotus-garden --json",
            "policy set --tenant remind_after=24h recall_after=72h",
            "policy set --courier sf quiet_from=22:00",
            "policy show --community lotus-garden --courier sf",
            "courier create sf --name 顺丰",
            "key create --courier sf",
            "key create --camera lotus-garden/东门",
            "key create --courier sf --scope read --scope events --expires-in 90d",
            "key create --administrator-of lotus-garden --scope read",
            "key create --worker --output worker.key",
            "key rotate key_00000000000000000000000000000001 --overlap 1h",
            "key revoke key_00000000000000000000000000000001",
            "webhook list --courier sf --disabled",
            "webhook disable whe_00000000000000000000000000000001",
            "resident add --community lotus-garden --name 王芳 --building b3 --unit 1502",
            "resident consent grant res_1 --purpose gate-recognition --notice v1",
            "resident enrol res_1 a.jpg b.jpg",
            "resident accessible res_1 true",
            "resident export res_1 --output res_1.json",
            "resident erase res_1 --certificate res_1.erased",
            "resident certificate ers_1 --output res_1.erased",
            "roster import roster.csv --community lotus-garden --partial",
            "roster enrol album.zip --community lotus-garden --results results.csv --again",
            "recognition set --community lotus-garden --false-alarms 0.001 --all-consenting",
            "recognition conflicts --community lotus-garden",
            "recognition tell-apart res_1 res_2",
            "recognition tell-apart res_1 res_2 --same-person",
            "pickups import pickups.csv --community lotus-garden",
            "parcels unresolved --community lotus-garden",
            "parcels resolve pcl_1 --resident res_1",
            "parcels extend pcl_1 --until 2026-06-05T18:00:00+08:00",
            "parcels hold pcl_1 --until 2026-06-05T18:00:00+08:00",
            "parcels release pcl_1",
            "audit looks --community lotus-garden --resident res_1 --limit 10",
            "reminders res_1 --address http://127.0.0.1:1 --key abc",
        ] {
            let words = std::iter::once("admin").chain(line.split(' '));
            assert!(Shell::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_key_is_for_exactly_one_bearer() {
        for line in ["key create", "key create --courier sf --worker", "policy set remind_after=1h"] {
            let words = std::iter::once("admin").chain(line.split(' '));
            assert!(Shell::try_parse_from(words).is_err(), "{line}");
        }
    }

    #[test]
    fn the_secret_is_not_in_the_debug_output() {
        let shell = Shell::try_parse_from(["admin", "--key", "tell-nobody", "courier", "list"]).unwrap();
        assert!(!format!("{shell:?}").contains("tell-nobody"));
    }
}
