//! Answers by request id.

use gatepost_storage::{Answered, Store, StoreError};
use uuid::Uuid;

use super::{Bench, fixture::t};

fn answered(answer: u8) -> Answered {
    Answered { rpc: "AnnounceParcel".to_owned(), body_hash: [7; 32], answer: vec![answer, 0, 255] }
}

pub async fn an_answer_is_given_again_until_forgotten(bench: Bench) {
    let request = Uuid::from_u128(1);
    let tx = bench.store.write().await.unwrap();
    assert_eq!(tx.answered("courier:swift", request).await.unwrap(), None);
    tx.remember_answer("courier:swift", request, &answered(1), t(0)).await.unwrap();
    // Another principal's request of that id is another request.
    tx.remember_answer("courier:brisk", request, &answered(2), t(60)).await.unwrap();
    assert_eq!(tx.answered("courier:swift", request).await.unwrap(), Some(answered(1)));
    assert_eq!(tx.answered("courier:brisk", request).await.unwrap(), Some(answered(2)));
    assert_eq!(tx.forget_answers(t(0)).await, Ok(0));
    assert_eq!(tx.forget_answers(t(60)).await, Ok(1));
    assert_eq!(tx.answered("courier:swift", request).await.unwrap(), None);
    assert_eq!(tx.answered("courier:brisk", request).await.unwrap(), Some(answered(2)));
}

async fn answer(store: Store, number: u8) -> Result<(), StoreError> {
    let tx = store.write().await?;
    tx.remember_answer("courier:swift", Uuid::from_u128(1), &answered(number), t(0)).await?;
    tx.commit().await
}

pub async fn a_request_is_answered_once(bench: Bench) {
    let replicas: Vec<_> = (0..10).map(|number| tokio::spawn(answer(bench.store.clone(), number))).collect();
    let mut first = 0;
    for replica in replicas {
        match replica.await.unwrap() {
            Ok(()) => first += 1,
            Err(refused) => assert_eq!(refused, StoreError::Conflict),
        }
    }
    assert_eq!(first, 1);
}
