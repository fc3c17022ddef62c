//! The parcel's journey, told from outside: every test speaks to a real platform over the wire.
#![expect(clippy::unwrap_used, reason = "a test that gets no answer has failed")]

/// Runs journeys on SQLite with timers in the platform's process, and on PostgreSQL with Redis.
macro_rules! on_both_stacks {
    ($($journey:ident),+ $(,)?) => {
        mod embedded {
            $(#[tokio::test]
            async fn $journey() {
                super::$journey(gatepost_tests::world::World::on(gatepost_tests::world::Stack::Embedded).await).await;
            })+
        }
        mod servers {
            $(#[tokio::test]
            async fn $journey() {
                super::$journey(gatepost_tests::world::World::on(gatepost_tests::world::Stack::Servers).await).await;
            })+
        }
    };
}

mod announcements;
mod bad_input;
mod capture;
mod channels;
mod claims;
mod community_administrator;
mod consent;
mod courier_webhooks;
mod crash;
mod decisions;
mod development_tls;
mod door_delivery;
mod enrolment;
mod erasure;
mod events;
mod export;
mod extension;
mod fuzz;
mod guardian;
mod hold;
mod hostile;
mod isolation;
mod keys;
mod ledger;
mod liveness;
mod looks;
mod model_upgrade;
mod nearest;
mod oidc;
mod outside;
mod page;
mod permissions;
mod pickup;
mod placement;
mod policy;
mod privacy;
mod quotas;
mod recall;
mod redelivery;
mod reminder;
mod requests;
mod retention;
mod sealed;
mod story;
mod telemetry;
mod tls;
mod traces;
mod trusted;
mod usual_hour;
mod webhooks;
mod workers;
