//! The record of looks: one chain a community and one of nobody, without gaps whoever looks at once, cut at its old end.

use gatepost_storage::Look;
use gatepost_tests::world::soon;

use super::{Bench, fixture::*};

fn look(chain: Option<&str>, minute: i64, subjects: &[u128]) -> Look {
    Look {
        chain: chain.map(id),
        sequence: 0,
        looked_at: t(minute),
        principal: "administrator".to_owned(),
        bearer: "key_00000000000000000000000000000001".to_owned(),
        rpc: "gatepost.v1.ResidentService/GetResident".to_owned(),
        outcome: "OK".to_owned(),
        request_id: None,
        subjects: subjects.iter().map(|number| resident_id(*number).to_string()).collect(),
        hash: [0; 32],
    }
}

pub async fn looks_at_once_stand_one_after_the_other(bench: Bench) {
    const LOOKS: usize = 40;
    settle(&bench.store, 1).await;
    let append = |number: usize| {
        let store = bench.store.clone();
        async move {
            let tx = store.write().await.unwrap();
            let chain = number.is_multiple_of(2).then_some("lotus");
            tx.append_look(look(chain, 0, &[7, 3, 7])).await.unwrap();
            tx.commit().await.unwrap();
        }
    };
    let looking: Vec<_> = (0..LOOKS).map(|number| tokio::spawn(append(number))).collect();
    for one in looking {
        soon("a look on record", one).await.unwrap();
    }
    let tx = bench.store.read().await.unwrap();
    for chain in [Some(id("lotus")), None] {
        let looks = tx.looks_after(&chain, 0, 100).await.unwrap();
        assert_eq!(looks.len(), LOOKS / 2);
        let mut before = None;
        for look in &looks {
            assert!(look.follows(before), "{}", look.sequence);
            before = Some((look.sequence, look.hash));
        }
        assert_eq!(looks[0].subjects, [resident_id(3).to_string(), resident_id(7).to_string()], "each once, in order");
    }
}

pub async fn looks_are_found_by_whom_and_go_from_the_oldest_on(bench: Bench) {
    settle(&bench.store, 1).await;
    let tx = bench.store.write().await.unwrap();
    let chain = Some(id("lotus"));
    for minute in 0..6 {
        tx.append_look(look(Some("lotus"), minute, &[u128::try_from(minute % 2).unwrap()])).await.unwrap();
    }
    let sequences = |looks: &[Look]| looks.iter().map(|look| look.sequence).collect::<Vec<_>>();
    let whom = resident_id(1).to_string();
    assert_eq!(sequences(&tx.looks(&chain, Some(&whom), None, 10).await.unwrap()), [6, 4, 2]);
    assert_eq!(sequences(&tx.looks(&chain, Some(&whom), Some(6), 1).await.unwrap()), [4]);
    assert_eq!(sequences(&tx.looks(&chain, None, Some(3), 10).await.unwrap()), [2, 1]);
    assert!(tx.looks(&None, None, None, 10).await.unwrap().is_empty());

    assert_eq!(tx.forget_looks(&chain, t(3), 2).await.unwrap(), 2, "no more than asked for");
    assert_eq!(tx.forget_looks(&chain, t(3), 2).await.unwrap(), 1, "and none that is young enough");
    assert_eq!(tx.forget_looks(&chain, t(3), 2).await.unwrap(), 0);
    let kept = tx.looks_after(&chain, 0, 10).await.unwrap();
    assert_eq!(sequences(&kept), [4, 5, 6]);
    assert!(kept[0].follows(tx.forgotten_looks(&chain).await.unwrap()), "what is left follows what is gone");
    assert_eq!(tx.forget_looks(&chain, t(60), 10).await.unwrap(), 3);
    let next = tx.append_look(look(Some("lotus"), 61, &[])).await.unwrap();
    assert_eq!(next.sequence, 7, "a chain that was emptied goes on");
    assert!(next.follows(tx.forgotten_looks(&chain).await.unwrap()));
    tx.commit().await.unwrap();
}
