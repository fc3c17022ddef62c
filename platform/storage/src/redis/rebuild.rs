//! The index made again from the rows, page by page, by one replica at a time.
//!
//! A mark on every shard tells that the pages so far are still there, and a watermark how far they came, so that
//! another replica can go on where one died. What is in the index can be claimed meanwhile; the pages come in order
//! of time, so what is urgent is there first.

use std::sync::PoisonError;

use futures::future::join_all;
use gatepost_domain::{
    Timestamp,
    id::ParcelId,
    ports::{Timer, TimersError, millis_up},
};
use uuid::Uuid;

use super::{RedisTimers, connection::Call, timers::puts};

/// The mark of a rebuild that nobody went on with is forgotten after this long.
const MARK_SECONDS: u32 = 24 * 60 * 60;
/// Who rebuilds and says nothing for so long has died.
const REBUILDER_MILLIS: u32 = 5_000;

impl RedisTimers {
    /// Becomes the one who rebuilds. Answers after which timer to go on.
    pub(super) async fn begin(&self) -> Result<Option<Timer>, TimersError> {
        let mut set = redis::cmd("SET");
        let replica = self.replica.to_string();
        set.arg(self.keys.rebuilder()).arg(&replica).arg("NX").arg("GET").arg("PX").arg(REBUILDER_MILLIS);
        let known: Option<String> = self.connection.query(0, &set).await?;
        if known.is_some_and(|known| known != replica) {
            return Err(TimersError::Busy);
        }
        let marks = join_all(self.keys.shards().map(async |shard| {
            let mut get = redis::cmd("GET");
            get.arg(self.keys.rebuild(shard));
            self.connection.query::<Option<String>>(shard, &get).await
        }))
        .await
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
        if let Some(Some(mark)) = marks.first()
            && marks.iter().all(|other| other.as_ref() == Some(mark))
            && let Ok(uuid) = Uuid::try_parse(mark)
        {
            let mut get = redis::cmd("GET");
            get.arg(self.keys.watermark());
            let watermark: Option<String> = self.connection.query(0, &get).await?;
            self.set_mark(Some(uuid));
            return Ok(watermark.and_then(|text| read_watermark(&text, uuid)));
        }
        let mark = Uuid::new_v4();
        join_all(self.keys.shards().map(async |shard| {
            let mut set = redis::cmd("SET");
            set.arg(self.keys.rebuild(shard)).arg(mark.to_string()).arg("EX").arg(MARK_SECONDS);
            self.connection.query::<String>(shard, &set).await
        }))
        .await
        .into_iter()
        .collect::<Result<Vec<_>, _>>()?;
        self.set_mark(Some(mark));
        Ok(None)
    }

    pub(super) async fn add_page(&self, page: &[Timer], last: bool) -> Result<(), TimersError> {
        let mark = *self.rebuild.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = mark.ok_or(TimersError::Lost)?;
        let done = self.add_under(mark, page, last).await;
        if done == Err(TimersError::Lost) || (last && done.is_ok()) {
            self.set_mark(None);
        }
        done
    }

    async fn add_under(&self, mark: Uuid, page: &[Timer], last: bool) -> Result<(), TimersError> {
        self.apply(puts(&self.keys, page), &mark.to_string()).await?;
        if !last {
            if let Some(timer) = page.last() {
                let mut set = redis::cmd("SET");
                set.arg(self.keys.watermark()).arg(write_watermark(mark, *timer)).arg("EX").arg(MARK_SECONDS);
                self.connection.query::<String>(0, &set).await?;
            }
            let mut expire = redis::cmd("PEXPIRE");
            expire.arg(self.keys.rebuilder()).arg(REBUILDER_MILLIS);
            return self.connection.query::<i64>(0, &expire).await.map(|_| ());
        }
        let finished = join_all(self.keys.shards().map(async |shard| {
            let call = Call::on(vec![self.keys.loaded(shard), self.keys.rebuild(shard)]).with(mark.to_string());
            match self.connection.run::<i64>(shard, &self.scripts.finish, &call).await? {
                0 => Ok(()),
                _ => Err(TimersError::Lost),
            }
        }))
        .await;
        let mut delete = redis::cmd("DEL");
        delete.arg(self.keys.rebuilder()).arg(self.keys.watermark());
        self.connection.query::<i64>(0, &delete).await?;
        finished.into_iter().collect()
    }

    fn set_mark(&self, mark: Option<Uuid>) {
        *self.rebuild.lock().unwrap_or_else(PoisonError::into_inner) = mark;
    }
}

fn write_watermark(mark: Uuid, timer: Timer) -> String {
    format!("{mark} {} {}", millis_up(timer.due), timer.parcel.0)
}

fn read_watermark(text: &str, mark: Uuid) -> Option<Timer> {
    let mut words = text.split(' ');
    if Uuid::try_parse(words.next()?).ok()? != mark {
        return None;
    }
    let due = Timestamp::from_millisecond(words.next()?.parse().ok()?).ok()?;
    let parcel = ParcelId(Uuid::try_parse(words.next()?).ok()?);
    Some(Timer { due, parcel })
}
