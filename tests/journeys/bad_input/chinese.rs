//! Names and addresses in Chinese throughout: in every text and every id that takes them, in rare characters of four
//! bytes, in full-width digits, and back out as they came in.

use gatepost_proto::v1::{
    self, Building, Community, Compartment, CreateCommunityRequest, EventKind, Gate, Junction, Locker, ParcelSize,
    ParcelState, PlacementKind, Recipient, Topology, Walkway,
};
use gatepost_tests::{
    clients::{Label, new_request_id, scripted_frames},
    world::World,
};
use jiff::SignedDuration;

const COMMUNITY: &str = "yuehai-yuan";

on_both_stacks! { a_journey_in_chinese }

fn community() -> Community {
    let walkway =
        |from: &str, to: &str, metres| Walkway { from: from.to_owned(), to: to.to_owned(), metres, steps: false };
    Community {
        id: COMMUNITY.to_owned(),
        display_name: "粤海苑·二期（南区）".to_owned(),
        time_zone: "Asia/Shanghai".to_owned(),
        display_policy: v1::DisplayPolicy::Locker.into(),
        topology: Some(Topology {
            buildings: vec![Building { id: "三号楼".to_owned(), name: "３号楼".to_owned() }],
            gates: vec![Gate { id: "东门".to_owned(), name: "东门（正门）".to_owned() }],
            lockers: vec![Locker {
                id: "丰巢一号柜".to_owned(),
                name: "东门快递柜".to_owned(),
                offline: false,
                compartments: vec![Compartment {
                    id: "甲〇一".to_owned(),
                    size: ParcelSize::Large.into(),
                    accessible: false,
                }],
                ..Locker::default()
            }],
            junctions: vec![Junction { id: "喷水池".to_owned() }],
            walkways: vec![walkway("三号楼", "喷水池", 60.5), walkway("喷水池", "丰巢一号柜", 40.0)],
        }),
    }
}

async fn a_journey_in_chinese(world: World) {
    let administrator = world.administrator();
    let request = CreateCommunityRequest { request_id: new_request_id(), community: Some(community()) };
    let created = administrator.communities().create_community(request).await.unwrap().into_inner();
    assert_eq!(created.community, Some(community()));
    let resident = v1::Resident {
        community_id: COMMUNITY.to_owned(),
        name: "𠮷野・阿卜杜拉".to_owned(),
        phone: "１３８－００１３－８０００".to_owned(),
        building_id: "三号楼".to_owned(),
        unit: "甲单元一五〇二室".to_owned(),
        person_reference: "业主编号-叁佰".to_owned(),
        ..Default::default()
    };
    let on_roster = administrator.add_resident(resident.clone()).await.unwrap();
    assert_eq!(on_roster, v1::Resident { id: on_roster.id.clone(), ..resident });
    let mut yoshino = world.resident("王芳");
    yoshino.id = on_roster.id;

    // The label has the home in its address line only, and the name with a space.
    let recipient = Recipient {
        name: "𠮷野 ・阿卜杜拉".to_owned(),
        phone: "13800138000".to_owned(),
        address: "广东省深圳市南山区粤海苑二期3号楼　甲单元一五〇二室（请放快递柜）".to_owned(),
        ..Recipient::default()
    };
    let swift = world.courier("shunda").await;
    let label = Label::to(&yoshino).recipient(recipient).consent(v1::DepositConsent::Given);
    let mut announce = v1::AnnounceParcelRequest { community_id: COMMUNITY.to_owned(), ..label.request() };
    announce.tracking_number = "顺达-２０２６-壹号".to_owned();
    let parcel = swift.announce_as(announce).await.unwrap().parcel;
    assert_eq!(parcel.tracking_number, "顺达-２０２６-壹号");
    assert_eq!(swift.parcel_by_number("顺达-２０２６-壹号").await.unwrap(), parcel);
    let place = parcel.placement.clone().unwrap();
    assert_eq!(place.kind(), PlacementKind::Locker);
    assert_eq!((place.locker_id.as_str(), place.compartment_id.as_str()), ("丰巢一号柜", "甲〇一"));
    assert_eq!(place.walking_metres, 100.5);
    swift.deposit(&parcel).await.unwrap();

    let _worker = world.scripted_worker().await;
    yoshino.agree_and_enrol(scripted_frames("face 吉野", 1).remove(0)).await;
    world.let_pass(SignedDuration::from_hours(25)).await;
    let gate = v1::principal::GateCamera { community_id: COMMUNITY.to_owned(), gate_id: "东门".to_owned() };
    let (_, key) = administrator.issue_key(v1::principal::Principal::Camera(gate)).await.unwrap();
    let seen = world.camera_with(key).await.unwrap().sees(&scripted_frames("face 吉野", 4)).await;
    assert!(seen.displays[0].text.contains("东门快递柜"), "{}", seen.displays[0].text);
    assert_eq!(yoshino.reminders().await[0].gate_id, "东门");

    world.let_pass(SignedDuration::from_hours(48)).await;
    let recall = swift.await_event(EventKind::RecallRequested).await;
    assert_eq!((recall.building.as_str(), recall.unit.as_str()), ("３号楼", "甲单元一五〇二室"));
    assert_eq!((recall.locker_id.as_str(), recall.compartment_id.as_str()), ("丰巢一号柜", "甲〇一"));
    assert_eq!(recall.tracking_number, "顺达-２０２６-壹号");
    let refused = swift.refuse_recall(&parcel.id).await.unwrap();
    assert_eq!(refused.parcel.unwrap().state(), ParcelState::Waiting);

    // Whom nobody knows is shown to staff as the courier wrote it.
    let stranger = Recipient {
        name: "𪚥𪚥先生".to_owned(),
        phone: "无".to_owned(),
        building: "第十八号楼".to_owned(),
        unit: "一单元".to_owned(),
        address: "粤海苑，门口右转".to_owned(),
    };
    let label = Label::to(&yoshino).recipient(stranger.clone());
    let announce = v1::AnnounceParcelRequest { community_id: COMMUNITY.to_owned(), ..label.request() };
    swift.announce_as(announce).await.unwrap();
    assert_eq!(administrator.unresolved(COMMUNITY).await[0].recipient, Some(stranger));
}
