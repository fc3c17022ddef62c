//! One person is enrolled as one, and from whole albums: a face that tells nothing new adds nothing, and one that
//! resembles a neighbour's waits for staff.

use std::path::Path;

use clap::Parser;
use gatepost_proto::v1::{self, ConflictResolution, ConsentPurpose, EnrolmentOutcome, SearchScope};
use gatepost_server::admin::{self, AdminArgs};
use gatepost_tests::{
    clients::{Answer, Label, Resident, Seen, answer, new_request_id, scripted_frames},
    world::{COMMUNITY, NORTH_GATE, World, hours, until},
};
use tonic::Code::{FailedPrecondition, NotFound};

on_both_stacks!(
    a_face_that_tells_nothing_new_adds_nothing,
    who_resembles_a_neighbour_waits_for_staff,
    of_two_enrolments_at_once_one_is_refused,
    all_consenting_faces_can_be_told_from_each_other,
    an_album_is_enrolled_and_resumed,
);

/// What staff type after `gatepost`.
#[derive(Debug, Parser)]
struct Shell {
    #[command(flatten)]
    admin: AdminArgs,
}

async fn staff(world: &World, words: &[&str]) -> anyhow::Result<()> {
    let url = world.url();
    let connection = ["admin", "--address", &url, "--data-dir", world.data_dir().to_str().unwrap()];
    admin::run(Shell::try_parse_from(connection.iter().chain(words))?.admin).await
}

async fn conflicts(world: &World) -> Vec<v1::EnrolmentConflict> {
    let request = v1::ListEnrolmentConflictsRequest { community_id: COMMUNITY.to_owned() };
    answer(world.administrator().residents().list_enrolment_conflicts(request).await).unwrap().conflicts
}

async fn settle(
    world: &World,
    resident: &Resident,
    other: &Resident,
    resolution: ConflictResolution,
) -> Answer<v1::SettleEnrolmentConflictResponse> {
    let request = v1::SettleEnrolmentConflictRequest {
        request_id: new_request_id(),
        resident_id: resident.id.clone(),
        other_resident_id: other.id.clone(),
        resolution: resolution.into(),
    };
    answer(world.administrator().residents().settle_enrolment_conflict(request).await)
}

async fn a_face_that_tells_nothing_new_adds_nothing(world: World) {
    let _worker = world.scripted_worker().await;
    let chen = world.resident("陈伟");
    chen.consent(ConsentPurpose::GateRecognition).await;
    let enrol = async |words: &str| {
        let done = chen.enrol(words.to_owned()).await.unwrap();
        (done.outcome(), done.resident.unwrap().faces)
    };
    assert_eq!(enrol("face 陈伟").await, (EnrolmentOutcome::Enrolled, 1));
    assert_eq!(enrol("face 陈伟").await, (EnrolmentOutcome::NearDuplicate, 1));
    assert_eq!(enrol("between 陈伟 胡子").await, (EnrolmentOutcome::Enrolled, 2), "with a beard");
}

async fn who_resembles_a_neighbour_waits_for_staff(world: World) {
    let _worker = world.scripted_worker().await;
    let (chen, wang) = (world.resident("陈伟"), world.resident("王芳"));
    chen.agree_and_enrol("face 陈伟").await;
    wang.consent(ConsentPurpose::GateRecognition).await;
    let alike = "between 陈伟 王芳";
    let refused = wang.enrol(alike).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (FailedPrecondition, "FACE_CONFLICT"));
    assert!(!refused.message.contains(&chen.id) && !refused.message.contains("陈伟"), "{}", refused.message);
    assert_eq!(wang.on_record().await.unwrap().faces, 0);
    let listed = conflicts(&world).await;
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].resident_id, &listed[0].other_resident_id), (&wang.id, &chen.id));
    assert!((listed[0].similarity - 0.5f32.sqrt()).abs() < 1e-3 && listed[0].settle_time.is_none());

    let nobody = settle(&world, &chen, &wang, ConflictResolution::SamePerson).await.unwrap_err();
    assert_eq!((nobody.code, &*nobody.reason), (NotFound, "CONFLICT_NOT_FOUND"));
    staff(&world, &["recognition", "tell-apart", &wang.id, &chen.id, "--same-person"]).await.unwrap();
    assert_eq!(conflicts(&world).await[0].resolution(), ConflictResolution::SamePerson);
    assert_eq!(wang.enrol(alike).await.unwrap_err().reason, "FACE_CONFLICT");
    assert!(conflicts(&world).await[0].settle_time.is_none(), "it is open again");

    settle(&world, &wang, &chen, ConflictResolution::DifferentPeople).await.unwrap();
    assert_eq!(wang.enrol(alike).await.unwrap().outcome(), EnrolmentOutcome::Enrolled);
    let other_way = chen.enrol("between 王芳 陈伟 帽子").await.unwrap();
    assert_eq!(other_way.outcome(), EnrolmentOutcome::Enrolled, "twins are told apart both ways");
    chen.withdraw(ConsentPurpose::GateRecognition).await;
    assert_eq!(conflicts(&world).await.len(), 1, "who was told apart stays so");
    chen.delete().await;
    assert_eq!(conflicts(&world).await, []);
}

async fn of_two_enrolments_at_once_one_is_refused(world: World) {
    let _worker = world.scripted_worker().await;
    let residents = ["陈伟", "王芳", "刘洋"].map(|name| world.resident(name));
    for resident in &residents {
        resident.consent(ConsentPurpose::GateRecognition).await;
    }
    let enrolments = residents.each_ref().map(|resident| resident.enrol("face 陌生人"));
    let outcomes = futures::future::join_all(enrolments).await;
    let refused: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused.iter().all(|refused| refused.reason == "FACE_CONFLICT"), "{refused:?}");
    assert_eq!(conflicts(&world).await.len(), 2);
}

async fn all_consenting_faces_can_be_told_from_each_other(world: World) {
    let _worker = world.scripted_worker().await;
    let (chen, liu) = (world.resident("陈伟"), world.resident("刘洋"));
    chen.agree_and_enrol("face 陈伟").await;
    liu.agree_and_enrol("face 刘洋").await;
    world.courier("swift-express").await.bring(&Label::to(&chen)).await;
    world.let_pass(hours(24)).await;
    // Somebody like both. Only who waits is searched by default: then it is Chen, and there is nobody to confuse him with.
    let passage = scripted_frames("between 陈伟 刘洋", 4);
    let scope = async |words: &[&str]| {
        let set = ["recognition", "set", "--community", COMMUNITY];
        staff(&world, &[&set, words].concat()).await.unwrap();
        let request = v1::GetRecognitionPolicyRequest { community_id: COMMUNITY.to_owned() };
        answer(world.administrator().communities().get_recognition_policy(request).await).unwrap()
    };
    let set = scope(&["--all-consenting"]).await;
    assert_eq!((set.policy.unwrap().search_scope(), set.templates), (SearchScope::AllConsenting, 2));
    let mut camera = world.camera(NORTH_GATE).await;
    assert_eq!(camera.sees(&passage).await, Seen::default());
    assert_eq!(camera.sees(&scripted_frames("face 刘洋", 4)).await, Seen::default(), "nothing waits for Liu");
    let store = world.store().await;
    let sighting = store.write().await.unwrap().last_sighting(liu.id.parse().unwrap()).await.unwrap();
    assert_eq!(sighting, None, "and nothing is kept of it");

    let set = scope(&[]).await;
    assert_eq!((set.policy.unwrap().search_scope(), set.templates), (SearchScope::WaitingOnly, 1));
    let mut camera = world.camera(NORTH_GATE).await;
    assert_eq!(camera.sees(&passage).await.displays.len(), 1);
}

fn results(folder: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(folder.join("album.results.csv")).unwrap();
    let mut lines: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    lines.sort();
    lines
}

async fn an_album_is_enrolled_and_resumed(world: World) {
    let worker = world.scripted_worker().await;
    let residents = ["陈伟", "王芳", "刘洋"].map(|name| world.resident(name));
    for resident in &residents[..2] {
        resident.consent(ConsentPurpose::GateRecognition).await;
    }
    let [chen, wang, liu] = &residents;
    let folder = tempfile::tempdir().unwrap();
    let album = folder.path().join("album");
    std::fs::create_dir(&album).unwrap();
    for (name, words) in [("c1.jpg", "face 陈伟"), ("c2.jpg", "face 陈伟"), ("w.jpg", "nobody"), ("l.jpg", "face 刘洋")]
    {
        std::fs::write(album.join(name), words).unwrap();
    }
    let rows = [
        (&chen.person_reference, "c1.jpg"),
        (&chen.person_reference, "c2.jpg"),
        (&wang.person_reference, "w.jpg"),
        (&liu.person_reference, "l.jpg"),
        (&liu.person_reference, "gone.jpg"),
    ];
    let list = rows.map(|(reference, photograph)| format!("{reference},{photograph}"));
    let list = format!("person_reference,photograph\n{}\nstranger,c1.jpg\n", list.join("\n"));
    std::fs::write(album.join("photographs.csv"), list).unwrap();
    let path = album.to_str().unwrap();
    let enrol = ["roster", "enrol", path, "--community", COMMUNITY];

    let refused = staff(&world, &enrol).await.unwrap_err().to_string();
    assert!(refused.starts_with("4 of 6 photographs refused"), "{refused}");
    let first = results(folder.path());
    assert_eq!(first.len(), 7, "{first:?}");
    for (photograph, outcome) in [
        ("c1.jpg", ",refused,RESIDENT_NOT_FOUND"),
        ("gone.jpg", ",refused,there is no such file"),
        ("l.jpg", ",refused,NO_RECOGNITION_CONSENT"),
        ("w.jpg", ",refused,NO_FACE"),
    ] {
        let told = first.iter().any(|line| line.contains(&format!("{photograph}{outcome}")));
        assert!(told, "{photograph}{outcome} in {first:?}");
    }
    // Both were on their way at once; of equal faces one is enough, whichever came first.
    let about_chen: Vec<_> = first.iter().filter(|line| line.starts_with(&chen.person_reference)).collect();
    assert!(about_chen.iter().any(|line| line.contains(",enrolled,")), "{about_chen:?}");
    assert!(about_chen.iter().any(|line| line.contains(",near_duplicate,")), "{about_chen:?}");

    // What was told is not asked again.
    let looked_at = worker.looked_at();
    assert!(staff(&world, &enrol).await.is_err());
    assert_eq!((worker.looked_at(), results(folder.path()).len()), (looked_at, 7));

    // Mended, and without the row of a process that died while it wrote it.
    liu.consent(ConsentPurpose::GateRecognition).await;
    std::fs::write(album.join("w.jpg"), "face 王芳").unwrap();
    let whole = std::fs::read_to_string(folder.path().join("album.results.csv")).unwrap();
    std::fs::write(folder.path().join("album.results.csv"), &whole[..whole.len() - 4]).unwrap();
    let refused = staff(&world, &[&enrol[..], &["--again"]].concat()).await.unwrap_err().to_string();
    assert!(refused.starts_with("2 of 6 photographs refused"), "{refused}");
    for (resident, faces) in [(chen, 1), (wang, 1), (liu, 1)] {
        assert_eq!(resident.on_record().await.unwrap().faces, faces, "{}", resident.name);
    }
}

/// By default a few, and as many as `GATEPOST_ALBUM` says.
#[tokio::test]
async fn an_album_of_many_goes_on_where_it_was_interrupted() {
    let many: usize = std::env::var("GATEPOST_ALBUM").map_or(60, |many| many.parse().expect("a number"));
    let builder = World::builder().config(|config| config.quotas.burst = 10_000_000.try_into().unwrap());
    let world = builder.start().await;
    let worker = world.scripted_worker_of("a model@000000000000", 512).await.expect("the worker is welcome");
    let folder = tempfile::tempdir().unwrap();
    let (album, roster) = (folder.path().join("album"), folder.path().join("roster.csv"));
    std::fs::create_dir(&album).unwrap();
    let mut people =
        "person_reference,name,phone,email,building,unit,gate_recognition,locker_deposit,notice\n".to_owned();
    let mut photographs = "person_reference,photograph\n".to_owned();
    for number in 0..many {
        people += &format!("many-{number},某人{number},,,building-1,{number},yes,no,v1\n");
        photographs += &format!("many-{number},{number}.jpg\n");
        std::fs::write(album.join(format!("{number}.jpg")), format!("number {number}")).unwrap();
    }
    std::fs::write(&roster, people).unwrap();
    std::fs::write(album.join("photographs.csv"), photographs).unwrap();
    staff(&world, &["roster", "import", roster.to_str().unwrap(), "--community", COMMUNITY]).await.unwrap();

    let enrol = ["roster", "enrol", album.to_str().unwrap(), "--community", COMMUNITY];
    tokio::select! {
        ended = staff(&world, &enrol) => panic!("it was to be interrupted: {ended:?}"),
        () = until("the first twenty", || async { worker.looked_at() > 20 }) => {}
    }
    staff(&world, &enrol).await.unwrap();
    assert!(worker.looked_at() < many + 40, "{} looks at {many} photographs", worker.looked_at());
    let told = results(folder.path());
    assert!(told.iter().filter(|line| line.contains("enrolled") || line.contains("near_duplicate")).count() >= many);
    let request = v1::ListResidentsRequest { community_id: COMMUNITY.to_owned(), page_size: 500, ..Default::default() };
    let page = answer(world.administrator().residents().list_residents(request).await).unwrap();
    let enrolled = page.residents.iter().filter(|resident| resident.person_reference.starts_with("many-"));
    assert!(enrolled.clone().count() > 0 && enrolled.into_iter().all(|resident| resident.faces == 1));
}
