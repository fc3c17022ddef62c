//! The ledger of consent, checked from beside the database: whole after everything that can happen, and broken by every
//! change.

use gatepost_proto::v1::{self, ConsentPurpose};
use gatepost_server::verify_ledger;
use gatepost_tests::{
    clients::{answer, new_request_id},
    world::{COMMUNITY, World},
};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection};
use secrecy::ExposeSecret as _;

on_both_stacks!(what_happens_leaves_the_ledger_whole, what_is_changed_is_found);

async fn verify(world: &World, noted: Option<&str>) -> Result<String, String> {
    let community = Some(COMMUNITY.parse().unwrap());
    verify_ledger(world.config(), world.data_dir(), community, noted).await.map_err(|error| format!("{error:#}"))
}

async fn database(world: &World) -> DatabaseConnection {
    Database::connect(world.config().database.url_in(world.data_dir()).expose_secret()).await.unwrap()
}

async fn what_happens_leaves_the_ledger_whole(world: World) {
    // Each of the five agreed to lockers when they moved in.
    let said = verify(&world, None).await.unwrap();
    assert!(said.starts_with("lotus-garden: 5 entries, whole, newest "), "{said}");
    let noted = said.rsplit(' ').next().unwrap().to_owned();
    let [chen, wang] = ["陈伟", "王芳"].map(|name| world.resident(name));
    let request = v1::GrantConsentRequest {
        request_id: new_request_id(),
        resident_id: chen.id.clone(),
        purpose: ConsentPurpose::GateRecognition.into(),
        notice: "notice-2026-06".to_owned(),
        notice_sha256: vec![7; 32].into(),
        by_guardian: true,
        guardian: String::new(),
    };
    answer(world.administrator().residents().grant_consent(request.clone()).await).unwrap();
    answer(world.administrator().residents().grant_consent(request.clone()).await)
        .expect("a repeat is no second entry");
    let short = v1::GrantConsentRequest { request_id: new_request_id(), notice_sha256: vec![7; 31].into(), ..request };
    let refused = answer(world.administrator().residents().grant_consent(short).await).unwrap_err();
    assert_eq!((&*refused.reason, &*refused.fields), ("INVALID_FIELD", &["notice_sha256".to_owned()][..]));
    chen.withdraw(ConsentPurpose::GateRecognition).await;
    wang.delete().await;
    let said = verify(&world, Some(&noted)).await.unwrap();
    assert!(
        said.starts_with("lotus-garden: 8 entries, whole"),
        "granted, withdrawn, and ended by the deletion: {said}"
    );
    let tx = world.store().await.read().await.unwrap();
    let entry = &tx.consent_entries(&COMMUNITY.parse().unwrap(), 5, 1).await.unwrap()[0];
    assert_eq!((&*entry.notice, entry.notice_sha256, entry.by_guardian), ("notice-2026-06", Some([7; 32]), true));
}

async fn what_is_changed_is_found(world: World) {
    let whole = verify(&world, None).await.unwrap();
    let noted = whole.rsplit(' ').next().unwrap();
    let database = database(&world).await;
    let execute = async |sql: &str| database.execute_unprepared(sql).await.unwrap();
    let broken = async |at: i64| {
        let said = verify(&world, None).await.unwrap_err();
        assert!(said.contains(&format!("broken at entry {at}")), "{said}");
    };
    execute("UPDATE consent_ledger SET notice = 'another' WHERE sequence = 2").await;
    broken(2).await;
    execute("UPDATE consent_ledger SET notice = 'notice-2026-01' WHERE sequence = 2").await;
    assert_eq!(verify(&world, Some(noted)).await.unwrap(), whole, "and it is whole again");
    execute("UPDATE consent_ledger SET sequence = 9 WHERE sequence = 3").await;
    broken(3).await;
    execute("UPDATE consent_ledger SET sequence = 3 WHERE sequence = 9").await;

    execute("DELETE FROM consent_in_force WHERE purpose = 'locker_deposit'").await;
    assert!(verify(&world, None).await.unwrap_err().contains("locker_deposit"), "taken back without an entry");
    execute(
        "INSERT INTO consent_in_force (resident, purpose) SELECT resident, purpose FROM consent_ledger WHERE given",
    )
    .await;
    assert_eq!(verify(&world, None).await.unwrap(), whole);
    // The end can be cut off with what is in force; only a noted hash tells.
    execute("DELETE FROM consent_in_force WHERE resident IN (SELECT resident FROM consent_ledger WHERE sequence = 5)")
        .await;
    execute("DELETE FROM consent_ledger WHERE sequence = 5").await;
    assert!(verify(&world, None).await.is_ok());
    assert!(verify(&world, Some(noted)).await.unwrap_err().contains("noted hash"));
}
