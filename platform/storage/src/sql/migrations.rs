//! The schema, step by step. A step is SQL that both databases understand, and works beside the previous release; what
//! only PostgreSQL gains by is done only there.

use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, MigratorTrait, SchemaManager, async_trait};

/// Every step, oldest first. A step that was released never changes.
pub(super) struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(Step { name: "0001_journey", sql: include_str!("migrations/0001_journey.sql") }),
            Box::new(Step { name: "0003_identity", sql: include_str!("migrations/0003_identity.sql") }),
            Box::new(Step { name: "0004_webhooks", sql: include_str!("migrations/0004_webhooks.sql") }),
            Box::new(Step { name: "0006_placement", sql: include_str!("migrations/0006_placement.sql") }),
            Box::new(Step { name: "0007_sealed_templates", sql: include_str!("migrations/0007_sealed_templates.sql") }),
            Box::new(Step { name: "0007_trusted_identity", sql: include_str!("migrations/0007_trusted_identity.sql") }),
            Box::new(Step { name: "0007_consent_ledger", sql: include_str!("migrations/0007_consent_ledger.sql") }),
            Box::new(Step { name: "0008_rearm", sql: include_str!("migrations/0008_rearm.sql") }),
            Box::new(OnPostgres(Step { name: "0009_event_keys", sql: include_str!("migrations/0009_event_keys.sql") })),
            Box::new(Step { name: "0010_enrolment", sql: include_str!("migrations/0010_enrolment.sql") }),
            Box::new(Step { name: "0011_looks", sql: include_str!("migrations/0011_looks.sql") }),
            Box::new(Step { name: "0013_decisions", sql: include_str!("migrations/0013_decisions.sql") }),
            Box::new(Step { name: "0014_erasure", sql: include_str!("migrations/0014_erasure.sql") }),
            Box::new(Step { name: "0014_retention", sql: include_str!("migrations/0014_retention.sql") }),
            Box::new(Step { name: "0015_guardian", sql: include_str!("migrations/0015_guardian.sql") }),
            Box::new(Step { name: "0016_capture", sql: include_str!("migrations/0016_capture.sql") }),
            Box::new(Step { name: "0017_erasures", sql: include_str!("migrations/0017_erasures.sql") }),
            Box::new(Step { name: "0018_model_upgrade", sql: include_str!("migrations/0018_model_upgrade.sql") }),
        ]
    }
}

struct Step {
    name: &'static str,
    sql: &'static str,
}

impl MigrationName for Step {
    fn name(&self) -> &str {
        self.name
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Step {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.get_connection().execute_unprepared(self.sql).await.map(|_| ())
    }
}

struct OnPostgres(Step);

impl MigrationName for OnPostgres {
    fn name(&self) -> &str {
        self.0.name()
    }
}

#[async_trait::async_trait]
impl MigrationTrait for OnPostgres {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        match manager.get_database_backend() {
            DbBackend::Postgres => self.0.up(manager).await,
            _ => Ok(()),
        }
    }
}
