//! The outbox of reminders.

use std::collections::BTreeSet;

use gatepost_domain::{ReminderCause, State};
use gatepost_storage::{Channel, Delivery, NoticeRecord};

use super::{
    Bench,
    fixture::{keep, notice, parcel, resident_id, settle, t},
};

pub async fn two_workers_never_share_a_notice(bench: Bench) {
    settle(&bench.store, 1).await;
    keep(&bench.store, &parcel(1, State::PickedUp)).await;
    let tx = bench.store.write().await.unwrap();
    for number in 1..=100 {
        tx.insert_notice(&notice(number, 1, 1)).await.unwrap();
    }
    tx.commit().await.unwrap();
    let worker = |store: gatepost_storage::Store| async move {
        let mut mine = Vec::new();
        loop {
            let tx = store.write().await.unwrap();
            let page = tx.claim_notices(t(60), t(61), 7).await.unwrap();
            // The other one claims while this claim is not committed yet.
            tokio::task::yield_now().await;
            tx.commit().await.unwrap();
            if page.is_empty() {
                return mine;
            }
            mine.extend(page.into_iter().map(|notice| notice.id));
        }
    };
    let workers = [tokio::spawn(worker(bench.store.clone())), tokio::spawn(worker(bench.store.clone()))];
    let mut claimed = Vec::new();
    for worker in workers {
        claimed.extend(worker.await.unwrap());
    }
    assert_eq!((claimed.len(), claimed.iter().collect::<BTreeSet<_>>().len()), (100, 100));
}

pub async fn a_notice_is_tried_until_it_is_done(bench: Bench) {
    settle(&bench.store, 1).await;
    keep(&bench.store, &parcel(1, State::PickedUp)).await;
    let tx = bench.store.write().await.unwrap();
    assert_eq!(tx.next_notice_at().await.unwrap(), None);
    let later = NoticeRecord {
        channel: Channel::Email,
        cause: ReminderCause::UsualHour,
        decided_at: t(61),
        next_attempt_at: Some(t(62)),
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
        ..notice(2, 1, 1)
    };
    let shown = NoticeRecord {
        channel: Channel::GateDisplay,
        cause: ReminderCause::SeenAtGate { gate: "北门".parse().unwrap(), similarity: None },
        delivery: Delivery::Delivered,
        next_attempt_at: None,
        ..notice(3, 1, 1)
    };
    for record in [&notice(1, 1, 1), &later, &shown] {
        tx.insert_notice(record).await.unwrap();
    }
    assert_eq!(tx.notices_of(resident_id(1), 10).await.unwrap(), [later.clone(), shown, notice(1, 1, 1)]);
    assert_eq!(tx.next_notice_at().await.unwrap(), Some(t(60)));
    assert_eq!(tx.claim_notices(t(59), t(69), 10).await.unwrap(), []);

    let claimed = tx.claim_notices(t(60), t(70), 10).await.unwrap();
    assert_eq!(claimed, [NoticeRecord { next_attempt_at: Some(t(70)), ..notice(1, 1, 1) }]);
    assert_eq!(tx.next_notice_at().await.unwrap(), Some(t(62)));
    // Its worker died: after the lease it is claimed again. This time the attempt fails, and is given up.
    let again = tx.claim_notices(t(70), t(80), 10).await.unwrap();
    assert_eq!(again.len(), 2);
    let failed = NoticeRecord {
        delivery: Delivery::Failed,
        attempts: 5,
        next_attempt_at: None,
        last_error: "answered 503".to_owned(),
        ..notice(1, 1, 1)
    };
    tx.save_notice(&failed).await.unwrap();
    let retried = NoticeRecord { attempts: 1, next_attempt_at: Some(t(75)), ..later };
    tx.save_notice(&retried).await.unwrap();
    assert_eq!(tx.claim_notices(t(75), t(85), 10).await.unwrap().len(), 1);
    tx.save_notice(&NoticeRecord { delivery: Delivery::Delivered, next_attempt_at: None, ..retried }).await.unwrap();
    assert_eq!(tx.next_notice_at().await.unwrap(), None);
    assert!(tx.notices_of(resident_id(1), 10).await.unwrap().contains(&failed));
}
