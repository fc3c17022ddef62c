//! The store and its transactions: which database, who may write when, and what one sees of the other.

use std::{sync::Arc, time::Duration};

use gatepost_domain::Timestamp;
use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    IsolationLevel, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
    sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous},
};
use sea_orm_migration::MigratorTrait;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::{failure::failure, migrations::Migrator, moves::Moves, word::from_millis};
use crate::StoreError;

/// How long a statement waits for a lock, and a caller for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Any number will do, as long as every replica takes the same one while it migrates.
const MIGRATION_LOCK: i64 = 0x6761_7465_706f_7374;

/// Everything the platform keeps, in SQLite or PostgreSQL.
#[derive(Debug, Clone)]
pub struct Store {
    connection: DatabaseConnection,
    /// SQLite has one writer at a time. Waiting here is fair and costs nothing; waiting in SQLite is polling, and
    /// gives up. A lock of another process is still waited for in SQLite.
    writer_gate: Option<Arc<Mutex<()>>>,
}

/// One transaction. Dropped without [`Tx::commit`], nothing of it happened.
#[derive(Debug)]
pub struct Tx {
    // Before the gate: fields are dropped in order, and the next writer should find the rollback begun.
    pub(super) transaction: DatabaseTransaction,
    pub(super) moves: Moves,
    _writer_gate: Option<OwnedMutexGuard<()>>,
}

impl Store {
    /// Connects to `sqlite:///path/to/gatepost.db` (made when missing) or `postgres://..`. Nothing is migrated.
    pub async fn connect(url: &str, max_connections: u32) -> Result<Store, StoreError> {
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(max_connections.max(1))
            .connect_timeout(PATIENCE)
            .acquire_timeout(PATIENCE)
            // Statements can carry names and phones, so neither log nor span may show them.
            .sqlx_logging(false)
            .record_stmt_in_spans(false)
            .map_sqlx_sqlite_opts(|sqlite| {
                sqlite
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    // A deposit that was answered must survive a power cut, not only a crash of the process.
                    .synchronous(SqliteSynchronous::Full)
                    // What was deleted is overwritten: a deleted resident is not to be found in free pages.
                    .pragma("secure_delete", "ON")
                    .busy_timeout(PATIENCE)
                    .foreign_keys(true)
            });
        let connection = Database::connect(options).await.map_err(failure)?;
        let writer_gate = (connection.get_database_backend() == DbBackend::Sqlite).then(Arc::default);
        Ok(Store { connection, writer_gate })
    }

    /// Brings the schema up to this release, in one transaction. Replicas that start together wait for each other.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let tx = self.write().await?;
        if tx.is_postgres() {
            let lock = format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})");
            tx.transaction.execute_unprepared(&lock).await.map_err(failure)?;
        }
        Migrator::up(&tx.transaction, None).await.map_err(failure)?;
        tx.commit().await
    }

    /// Whether the database answers and has this release's schema.
    pub async fn check(&self) -> Result<(), StoreError> {
        let tx = self.read().await?;
        match Migrator::get_pending_migrations_read_only(&tx.transaction).await.map_err(failure)?.len() {
            0 => Ok(()),
            pending => Err(StoreError::Unavailable(format!("{pending} migrations are pending"))),
        }
    }

    /// The database's own time, which all replicas share; none on SQLite, which has no clock but this process's.
    pub async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        if self.connection.get_database_backend() != DbBackend::Postgres {
            return Ok(None);
        }
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        let row = self.connection.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
        let row = row.map_err(failure)?.ok_or(StoreError::NotFound)?;
        from_millis(row.try_get_by_index(0).map_err(failure)?).map(Some)
    }

    /// Whether whoever writes waits in one line, as on SQLite.
    pub fn has_one_writer(&self) -> bool {
        self.writer_gate.is_some()
    }

    /// Empties SQLite's log into the database file. What was deleted is overwritten there, but its earlier versions
    /// stand in the log until this is done. PostgreSQL looks after its own.
    pub async fn empty_log(&self) -> Result<(), StoreError> {
        let Some(gate) = &self.writer_gate else { return Ok(()) };
        // A writer would make it fail.
        let _writer_gate = gate.lock().await;
        self.connection.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await.map_err(failure)?;
        Ok(())
    }

    /// Begins a transaction that sees one moment and may not write.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        let options = match self.connection.get_database_backend() {
            DbBackend::Postgres => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..TransactionOptions::default()
            },
            _ => TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Deferred),
                ..TransactionOptions::default()
            },
        };
        let transaction = self.connection.begin_with_options(options).await.map_err(failure)?;
        Ok(Tx { transaction, moves: Moves::default(), _writer_gate: None })
    }

    /// Begins a transaction that may write. On SQLite it is the only one; on PostgreSQL it is read committed, and
    /// what must not change under it is locked or versioned.
    pub async fn write(&self) -> Result<Tx, StoreError> {
        let writer_gate = match &self.writer_gate {
            Some(gate) => Some(Arc::clone(gate).lock_owned().await),
            None => None,
        };
        let options = TransactionOptions {
            // SQLite refuses a transaction that reads first and writes later whenever another wrote in between.
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let transaction = self.connection.begin_with_options(options).await.map_err(failure)?;
        Ok(Tx { transaction, moves: Moves::default(), _writer_gate: writer_gate })
    }
}

impl Tx {
    /// Waits until nobody has this lock alone, and shares it until this transaction ends. SQLite has one writer anyway.
    pub(super) async fn share_lock(&self, lock: i64) -> Result<(), StoreError> {
        self.advisory_lock("SELECT pg_advisory_xact_lock_shared($1)", lock).await
    }

    /// Waits until nobody has or shares this lock, and has it alone until this transaction ends.
    pub(super) async fn take_lock(&self, lock: i64) -> Result<(), StoreError> {
        self.advisory_lock("SELECT pg_advisory_xact_lock($1)", lock).await
    }

    async fn advisory_lock(&self, sql: &str, lock: i64) -> Result<(), StoreError> {
        if self.is_postgres() {
            self.execute(sql, vec![lock.into()]).await?;
        }
        Ok(())
    }

    /// Makes everything of this transaction happen.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await.map_err(failure)
    }

    pub(super) fn is_postgres(&self) -> bool {
        self.transaction.get_database_backend() == DbBackend::Postgres
    }

    /// A statement in SQL that both databases understand, with `$1` for the first value.
    pub(super) fn statement(&self, sql: &str, values: Vec<sea_orm::Value>) -> Statement {
        Statement::from_sql_and_values(self.transaction.get_database_backend(), sql, values)
    }

    /// Runs a statement and says how many rows it touched.
    pub(super) async fn execute(&self, sql: &str, values: Vec<sea_orm::Value>) -> Result<u64, StoreError> {
        let done = self.transaction.execute_raw(self.statement(sql, values)).await.map_err(failure)?;
        Ok(done.rows_affected())
    }
}
