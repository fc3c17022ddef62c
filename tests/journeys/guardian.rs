//! Under 14: a guardian agrees to gate recognition, by a name that is none, or nobody does.

use gatepost_proto::v1::{self, ConsentPurpose};
use gatepost_server::verify_ledger;
use gatepost_tests::{
    clients::{Answer, Resident, answer, new_request_id},
    world::{COMMUNITY, World},
};

on_both_stacks!(a_guardian_agrees_for_a_child, a_child_who_agreed_alone_is_asked_for_a_guardian);

async fn under_14(world: &World, resident: &Resident) -> Answer<bool> {
    let wanted = v1::Resident { id: resident.id.clone(), under_14: true, ..Default::default() };
    let request = v1::UpdateResidentRequest {
        request_id: new_request_id(),
        resident: Some(wanted),
        update_mask: Some(prost_types::FieldMask { paths: vec!["under_14".to_owned()] }),
    };
    let updated = answer(world.administrator().residents().update_resident(request).await)?;
    Ok(updated.resident.expect("a resident").under_14)
}

async fn agrees(world: &World, resident: &Resident, guardian: &str) -> Answer<()> {
    let request = v1::GrantConsentRequest {
        request_id: new_request_id(),
        resident_id: resident.id.clone(),
        purpose: ConsentPurpose::GateRecognition.into(),
        notice: "notice-2026-01".to_owned(),
        by_guardian: true,
        guardian: guardian.to_owned(),
        ..Default::default()
    };
    answer(world.administrator().residents().grant_consent(request).await).map(drop)
}

async fn guardians(world: &World) -> Vec<String> {
    let tx = world.store().await.read().await.unwrap();
    let entries = tx.consent_entries(&COMMUNITY.parse().unwrap(), 0, 50).await.unwrap();
    entries.into_iter().filter(|entry| !entry.guardian.is_empty()).map(|entry| entry.guardian).collect()
}

async fn a_guardian_agrees_for_a_child(world: World) {
    let _worker = world.scripted_worker().await;
    let [chen, liu, wang] = ["陈伟", "刘洋", "王芳"].map(|name| world.resident(name));
    for child in [&chen, &liu] {
        assert!(under_14(&world, child).await.unwrap());
    }
    let refused = agrees(&world, &chen, "").await.unwrap_err();
    assert_eq!(&*refused.reason, "GUARDIAN_NEEDED", "that it was by a guardian is not enough");
    assert_eq!(chen.enrol("face 陈伟").await.unwrap_err().reason, "NO_RECOGNITION_CONSENT");
    chen.consent(ConsentPurpose::LockerDeposit).await;
    let nobody = "res_00000000000000000000000000000007";
    for nobodys in [&*chen.id, &liu.id, nobody, "res_7", "王芳", "Wang Fang", "+86 13800138000", &"7".repeat(65)] {
        let refused = agrees(&world, &chen, nobodys).await.unwrap_err();
        assert_eq!((&*refused.reason, &*refused.fields), ("INVALID_FIELD", &["guardian".to_owned()][..]), "{nobodys}");
    }
    assert_eq!(guardians(&world).await, [""; 0]);
    agrees(&world, &chen, &wang.id).await.unwrap();
    agrees(&world, &liu, "file-7").await.unwrap();
    assert_eq!(chen.enrol("face 陈伟").await.unwrap().resident.unwrap().faces, 1);
    assert_eq!(guardians(&world).await, [wang.id.clone(), "file-7".to_owned()]);
    let community = Some(COMMUNITY.parse().unwrap());
    let said = verify_ledger(world.config(), world.data_dir(), community, None).await.unwrap();
    assert!(said.contains("whole"), "{said}");
}

async fn a_child_who_agreed_alone_is_asked_for_a_guardian(world: World) {
    let chen = world.resident("陈伟");
    chen.consent(ConsentPurpose::GateRecognition).await;
    assert_eq!(under_14(&world, &chen).await.unwrap_err().reason, "GUARDIAN_NEEDED");
    agrees(&world, &chen, "file-7").await.unwrap();
    assert!(under_14(&world, &chen).await.unwrap());
}
