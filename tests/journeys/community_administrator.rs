//! An administrator of one community has to do with that one. Every other looks to it like one that never existed.

use gatepost_proto::v1::{self, principal};
use gatepost_tests::{
    clients::{Administrator, Answer, Label, Refused, answer, new_request_id},
    world::{COMMUNITY, World, standard_community},
};
use tonic::Code;

const OTHER: &str = "rose-court";

/// The administrator of another community than the one everybody lives in.
async fn stranger(world: &World) -> Administrator {
    let community = v1::Community { id: OTHER.to_owned(), ..standard_community() };
    let request = v1::CreateCommunityRequest { request_id: new_request_id(), community: Some(community) };
    answer(world.administrator().communities().create_community(request).await).unwrap();
    let principal = principal::Administrator { community_id: OTHER.to_owned() };
    let issued = world.administrator().issue_key(principal::Principal::Administrator(principal)).await;
    Administrator::new(world.line().clone(), issued.unwrap().1)
}

/// Every rpc that names a community, a resident or a parcel, as one list of answers.
async fn every_rpc(who: &Administrator, community: &str, resident: &str, parcel: &str) -> Vec<Answer<()>> {
    let (community_id, resident_id) = (community.to_owned(), resident.to_owned());
    let request_id = new_request_id;
    let (communities, residents) = (|| who.communities(), || who.residents());
    let nothing = |answer: Result<(), tonic::Status>| answer.map_err(Refused::from);
    macro_rules! ask {
        ($service:ident, $rpc:ident, $request:expr) => {
            nothing($service().$rpc($request).await.map(|_| ()))
        };
    }
    let home = v1::Resident {
        community_id: community_id.clone(),
        name: "赵敏".to_owned(),
        phone: "13900009999".to_owned(),
        building_id: "building-3".to_owned(),
        unit: "101".to_owned(),
        ..Default::default()
    };
    let changed = v1::Resident { id: resident_id.clone(), name: "赵敏".to_owned(), ..Default::default() };
    let mask = |path: &str| Some(prost_types::FieldMask { paths: vec![path.to_owned()] });
    let renamed = v1::Community { id: community_id.clone(), display_name: "别处".to_owned(), ..Default::default() };
    let layer = v1::PolicyLayer { layer: Some(v1::policy_layer::Layer::CommunityId(community_id.clone())) };
    let purpose = v1::ConsentPurpose::LockerDeposit.into();
    vec![
        ask!(communities, get_community, v1::GetCommunityRequest { community_id: community_id.clone() }),
        ask!(
            communities,
            update_community,
            v1::UpdateCommunityRequest {
                request_id: request_id(),
                community: Some(renamed),
                update_mask: mask("display_name"),
            }
        ),
        ask!(communities, list_compartments, v1::ListCompartmentsRequest { community_id: community_id.clone() }),
        ask!(
            communities,
            get_waiting_policy,
            v1::GetWaitingPolicyRequest { community_id: community_id.clone(), courier_id: String::new() }
        ),
        ask!(
            communities,
            set_waiting_policy,
            v1::SetWaitingPolicyRequest {
                request_id: request_id(),
                layer: Some(layer),
                policy: Some(v1::WaitingPolicy::default()),
            }
        ),
        ask!(
            residents,
            list_residents,
            v1::ListResidentsRequest { community_id: community_id.clone(), ..Default::default() }
        ),
        ask!(
            residents,
            list_unresolved_parcels,
            v1::ListUnresolvedParcelsRequest { community_id: community_id.clone(), ..Default::default() }
        ),
        ask!(residents, create_resident, v1::CreateResidentRequest { request_id: request_id(), resident: Some(home) }),
        ask!(
            residents,
            update_resident,
            v1::UpdateResidentRequest { request_id: request_id(), resident: Some(changed), update_mask: mask("name") }
        ),
        ask!(residents, get_resident, v1::GetResidentRequest { resident_id: resident_id.clone() }),
        ask!(residents, get_usual_pickup, v1::GetUsualPickupRequest { resident_id: resident_id.clone() }),
        ask!(residents, list_reminders, v1::ListRemindersRequest { resident_id: resident_id.clone() }),
        ask!(
            residents,
            grant_consent,
            v1::GrantConsentRequest {
                request_id: request_id(),
                resident_id: resident_id.clone(),
                purpose,
                notice: "v1".to_owned(),
                ..Default::default()
            }
        ),
        ask!(
            residents,
            withdraw_consent,
            v1::WithdrawConsentRequest {
                request_id: request_id(),
                resident_id: resident_id.clone(),
                purpose,
                ..Default::default()
            }
        ),
        ask!(
            residents,
            enrol_face,
            v1::EnrolFaceRequest {
                request_id: request_id(),
                resident_id: resident_id.clone(),
                photograph: vec![0xFF, 0xD8].into(),
            }
        ),
        ask!(
            residents,
            delete_faces,
            v1::DeleteFacesRequest { request_id: request_id(), resident_id: resident_id.clone() }
        ),
        ask!(
            residents,
            import_pickups,
            v1::ImportPickupsRequest {
                request_id: request_id(),
                resident_id: resident_id.clone(),
                pickup_times: Vec::new(),
            }
        ),
        ask!(
            residents,
            resolve_parcel,
            v1::ResolveParcelRequest {
                request_id: request_id(),
                parcel_id: parcel.to_owned(),
                resident_id: resident_id.clone(),
            }
        ),
        ask!(
            residents,
            extend_stay,
            v1::ExtendStayRequest { request_id: request_id(), parcel_id: parcel.to_owned(), ..Default::default() }
        ),
        ask!(
            residents,
            release_stay,
            v1::ReleaseStayRequest { request_id: request_id(), parcel_id: parcel.to_owned() }
        ),
        ask!(residents, delete_resident, v1::DeleteResidentRequest { request_id: request_id(), resident_id }),
    ]
}

#[tokio::test]
async fn another_community_never_existed() {
    let world = World::new().await;
    let stranger = stranger(&world).await;
    let courier = world.courier("swift-express").await;
    let parcel = courier.announce(&Label::to(&world.resident("王芳"))).await.unwrap().parcel;
    let resident = world.resident("王芳").on_record().await.unwrap().id;
    let others = every_rpc(&stranger, COMMUNITY, &resident, &parcel.id).await;
    let (nobody, nothing) = ("res_0190a5b0c0de7000800000000000beef", "pcl_0190a5b0c0de7000800000000000beef");
    let nowhere = every_rpc(&stranger, "never-built", nobody, nothing).await;
    for (number, (other, none)) in others.iter().zip(&nowhere).enumerate() {
        let other = other.as_ref().unwrap_err();
        assert_eq!(other.code, Code::NotFound, "rpc {number}: {other:?}");
        assert_eq!(format!("{other:?}"), format!("{:?}", none.as_ref().unwrap_err()), "rpc {number}");
    }
    assert!(world.resident("王芳").on_record().await.is_ok(), "nothing came of it");
}

#[tokio::test]
async fn its_own_community_is_all_it_sees() {
    let world = World::new().await;
    let administrator = stranger(&world).await;
    let listed = answer(administrator.communities().list_communities(v1::ListCommunitiesRequest::default()).await);
    let listed = listed.unwrap();
    let ids: Vec<_> = listed.communities.iter().map(|community| &*community.id).collect();
    assert_eq!((ids, &*listed.next_page_token), (vec![OTHER], ""));
    let moved_in = administrator
        .add_resident(v1::Resident {
            community_id: OTHER.to_owned(),
            name: "赵敏".to_owned(),
            phone: "13900009999".to_owned(),
            building_id: "building-3".to_owned(),
            unit: "101".to_owned(),
            ..Default::default()
        })
        .await
        .unwrap();
    for answer in every_rpc(&administrator, OTHER, &moved_in.id, "pcl_0190a5b0c0de7000800000000000beef").await {
        if let Err(refused) = answer {
            let known = ["PARCEL_NOT_FOUND", "NO_RECOGNITION_CONSENT", "RESIDENT_EXISTS"];
            assert!(known.contains(&&*refused.reason), "{refused:?}");
        }
    }
    let everywhere = v1::policy_layer::Layer::Tenant(Default::default());
    let refused = administrator.set_policy(everywhere, v1::WaitingPolicy::default()).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::PermissionDenied, "PERMISSION_DENIED"));
}
