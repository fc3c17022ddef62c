//! The life of a key: what it is limited to, how it is rotated, when it ends, and when it was last used.

use gatepost_proto::v1::{
    self, Scope,
    event_service_client::EventServiceClient,
    principal::{Administrator as AdministratorOf, Principal as Who},
    stream_events_response::Message,
};
use gatepost_tests::{
    clients::{Administrator, Answer, Courier, Key, Refused, answer, duration_to_wire, new_request_id, to_wire},
    world::{BOUND, COMMUNITY, World, hours, minutes, soon, until},
};
use jiff::SignedDuration;
use tonic::Code;

on_both_stacks!(
    a_rotated_key_has_two_secrets_for_a_while,
    a_key_ends_when_it_was_said_to,
    the_last_use_is_noted_now_and_then,
    a_stream_ends_with_its_key,
);

fn request(principal: Who) -> v1::CreateKeyRequest {
    let principal = Some(v1::Principal { principal: Some(principal) });
    v1::CreateKeyRequest { request_id: new_request_id(), principal, ..Default::default() }
}

fn swift() -> Who {
    Who::CourierId("swift-express".to_owned())
}

fn administrator_of(community_id: &str) -> Who {
    Who::Administrator(AdministratorOf { community_id: community_id.to_owned() })
}

async fn create(administrator: &Administrator, request: v1::CreateKeyRequest) -> Answer<(String, Key)> {
    let issued = answer(administrator.couriers().create_key(request).await)?;
    Ok((issued.key.unwrap().id, Key::new(&issued.secret)))
}

async fn rotate(
    administrator: &Administrator,
    key_id: &str,
    overlap: Option<SignedDuration>,
) -> Answer<v1::RotateKeyResponse> {
    let request = v1::RotateKeyRequest {
        request_id: new_request_id(),
        key_id: key_id.to_owned(),
        overlap: overlap.map(duration_to_wire),
        expire_time: None,
    };
    answer(administrator.couriers().rotate_key(request).await)
}

async fn on_record(administrator: &Administrator, key_id: &str) -> v1::Key {
    let keys = answer(administrator.couriers().list_keys(v1::ListKeysRequest::default()).await).unwrap().keys;
    keys.into_iter().find(|key| key.id == key_id).unwrap()
}

/// What a courier's key is answered.
async fn opens(world: &World, key: &Key) -> Answer<()> {
    Courier::new("swift-express", world.line().clone(), key.clone()).list(0, "").await.map(|_| ())
}

fn told(refused: Refused) -> (Code, String) {
    (refused.code, refused.reason)
}

async fn a_rotated_key_has_two_secrets_for_a_while(world: World) {
    let administrator = world.administrator();
    world.courier("swift-express").await;
    let limited = v1::CreateKeyRequest { scopes: vec![Scope::Read.into()], ..request(swift()) };
    let (id, first) = create(&administrator, limited).await.unwrap();
    let rotated = rotate(&administrator, &id, None).await.unwrap();
    let second = Key::new(&rotated.secret);
    assert_eq!(rotated.former_secrets_until, Some(to_wire(world.now() + hours(24))));
    let key = rotated.key.unwrap();
    assert_eq!((&*key.id, &*key.scopes), (&*id, &[i32::from(Scope::Read)][..]), "the same key, limited as before");
    assert_ne!(first.secret(), second.secret());
    opens(&world, &first).await.unwrap();
    opens(&world, &second).await.unwrap();

    world.let_pass(hours(24)).await;
    let refused = opens(&world, &first).await.unwrap_err();
    assert!(refused.message.contains("was replaced"), "{}", refused.message);
    assert_eq!(told(refused), (Code::Unauthenticated, "KEY_EXPIRED".to_owned()));
    opens(&world, &second).await.unwrap();

    // One that leaked: the former secrets end with the rotation.
    let third = Key::new(&rotate(&administrator, &id, Some(SignedDuration::ZERO)).await.unwrap().secret);
    assert_eq!(opens(&world, &second).await.unwrap_err().reason, "KEY_EXPIRED");
    opens(&world, &third).await.unwrap();

    let eighth = async || {
        for _ in 0..8 {
            rotate(&administrator, &id, None).await?;
        }
        rotate(&administrator, &id, None).await
    };
    assert_eq!(told(eighth().await.unwrap_err()), (Code::FailedPrecondition, "SECRETS_FULL".to_owned()));
    let long = rotate(&administrator, &id, Some(hours(24 * 31))).await.unwrap_err();
    assert_eq!((&*long.reason, &*long.fields), ("INVALID_FIELD", &["overlap".to_owned()][..]));

    let revoke = v1::RevokeKeyRequest { request_id: new_request_id(), key_id: id.clone() };
    answer(administrator.couriers().revoke_key(revoke).await).unwrap();
    let refused = opens(&world, &third).await.unwrap_err();
    assert_eq!(told(refused), (Code::Unauthenticated, "KEY_REVOKED".to_owned()), "with every secret it has");
    let refused = rotate(&administrator, &id, None).await.unwrap_err();
    assert_eq!(told(refused), (Code::FailedPrecondition, "KEY_REVOKED".to_owned()));
}

async fn a_key_ends_when_it_was_said_to(world: World) {
    let administrator = world.administrator();
    world.courier("swift-express").await;
    let late = v1::CreateKeyRequest { expire_time: Some(to_wire(world.now())), ..request(swift()) };
    let refused = create(&administrator, late).await.err().unwrap();
    assert_eq!((&*refused.reason, &*refused.fields), ("INVALID_FIELD", &["expire_time".to_owned()][..]));

    let at = world.now() + hours(1);
    let (id, key) = create(&administrator, v1::CreateKeyRequest { expire_time: Some(to_wire(at)), ..request(swift()) })
        .await
        .unwrap();
    world.let_pass(minutes(59)).await;
    opens(&world, &key).await.unwrap();
    world.let_pass(minutes(1)).await;
    let refused = opens(&world, &key).await.unwrap_err();
    assert!(refused.message.contains("2026-06-01T05:00:00Z"), "{}", refused.message);
    assert_eq!(told(refused), (Code::Unauthenticated, "KEY_EXPIRED".to_owned()));

    let refused = rotate(&administrator, &id, None).await.unwrap_err();
    assert_eq!((&*refused.reason, &*refused.fields), ("INVALID_FIELD", &["expire_time".to_owned()][..]));
    let longer = v1::RotateKeyRequest {
        request_id: new_request_id(),
        key_id: id,
        expire_time: Some(to_wire(at + hours(1))),
        overlap: None,
    };
    let renewed = answer(administrator.couriers().rotate_key(longer.clone()).await).unwrap();
    opens(&world, &Key::new(&renewed.secret)).await.unwrap();
    let again = answer(administrator.couriers().rotate_key(longer).await).unwrap();
    assert_eq!((again.key, &*again.secret), (renewed.key, ""), "a secret is told once");
}

async fn the_last_use_is_noted_now_and_then(world: World) {
    let administrator = world.administrator();
    world.courier("swift-express").await;
    let (id, key) = create(&administrator, request(swift())).await.unwrap();
    let last_use = async || on_record(&administrator, &id).await.last_use_time;
    assert_eq!(last_use().await, None);
    let first = world.now();
    opens(&world, &key).await.unwrap();
    until("the use is noted", async || last_use().await == Some(to_wire(first))).await;

    world.let_pass(minutes(4)).await;
    opens(&world, &key).await.unwrap();
    world.let_pass(minutes(1)).await;
    opens(&world, &key).await.unwrap();
    let second = world.now();
    until("the next use is noted", async || last_use().await == Some(to_wire(second))).await;

    world.let_pass(minutes(5)).await;
    assert!(opens(&world, &Key::new("gpk_forged")).await.is_err());
    assert_eq!(last_use().await, Some(to_wire(second)), "listing uses another key");
}

async fn a_stream_ends_with_its_key(world: World) {
    let administrator = world.administrator();
    world.courier("swift-express").await;
    let (id, key) = create(&administrator, request(swift())).await.unwrap();
    let (_, other) = create(&administrator, request(swift())).await.unwrap();
    let open = async |key: Key| {
        let line = world.line().authorised(&key);
        let stream = EventServiceClient::new(line).stream_events(v1::StreamEventsRequest::default()).await;
        stream.unwrap().into_inner()
    };
    let (mut ended, mut going_on) = (open(key).await, open(other).await);
    let revoke = v1::RevokeKeyRequest { request_id: new_request_id(), key_id: id };
    answer(administrator.couriers().revoke_key(revoke).await).unwrap();
    let end = async {
        loop {
            world.clock().advance(SignedDuration::from_secs(30));
            match tokio::time::timeout(BOUND / 100, ended.message()).await {
                Ok(Ok(Some(heartbeat))) => assert!(matches!(heartbeat.message, Some(Message::Heartbeat(_)))),
                Ok(end) => break end,
                Err(_) => {}
            }
        }
    };
    let end = Refused::from(soon("the end of the stream", end).await.unwrap_err());
    assert_eq!(told(end), (Code::Unauthenticated, "KEY_REVOKED".to_owned()));
    let next = soon("a heartbeat", going_on.message()).await.unwrap().unwrap();
    assert!(matches!(next.message, Some(Message::Heartbeat(_))), "another key's stream goes on");
}

#[tokio::test]
async fn scopes_are_those_of_the_principal() {
    let world = World::new().await;
    let administrator = world.administrator();
    world.courier("swift-express").await;
    for (principal, scope) in [
        (swift(), Scope::Manage),
        (swift(), Scope::Unspecified),
        (Who::Worker(v1::principal::Worker {}), Scope::Read),
        (administrator_of(COMMUNITY), Scope::Keys),
        (administrator_of(""), Scope::Events),
    ] {
        let wrong = v1::CreateKeyRequest { scopes: vec![scope.into()], ..request(principal) };
        let refused = create(&administrator, wrong).await.err().unwrap();
        assert_eq!((&*refused.reason, &*refused.fields), ("INVALID_FIELD", &["scopes".to_owned()][..]), "{scope:?}");
    }
    let both = v1::CreateKeyRequest { scopes: vec![4, 1, 1], ..request(swift()) };
    let (id, _) = create(&administrator, both).await.unwrap();
    assert_eq!(on_record(&administrator, &id).await.scopes, [1, 4], "each once");
    let elsewhere = create(&administrator, request(administrator_of("nowhere"))).await.err().unwrap();
    assert_eq!(told(elsewhere), (Code::NotFound, "COMMUNITY_NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn a_limited_administrator_does_not_make_itself_an_unlimited_one() {
    let world = World::new().await;
    let whole = world.administrator();
    world.courier("swift-express").await;
    let limit = |scopes: &[Scope]| v1::CreateKeyRequest {
        scopes: scopes.iter().map(|scope| (*scope).into()).collect(),
        ..request(administrator_of(""))
    };
    let (whole_id, _) = create(&whole, request(administrator_of(""))).await.unwrap();
    let (own_id, key) = create(&whole, limit(&[Scope::Keys, Scope::Read])).await.unwrap();
    let limited = Administrator::new(world.line().clone(), key);
    create(&limited, request(swift())).await.unwrap();
    create(&limited, limit(&[Scope::Read])).await.unwrap();
    rotate(&limited, &own_id, None).await.unwrap();
    for beyond in [limit(&[]), limit(&[Scope::Manage]), request(administrator_of(COMMUNITY))] {
        let refused = create(&limited, beyond).await.err().unwrap();
        assert_eq!(told(refused), (Code::PermissionDenied, "SCOPE_MISSING".to_owned()));
    }
    let refused = rotate(&limited, &whole_id, None).await.unwrap_err();
    assert_eq!(told(refused), (Code::PermissionDenied, "SCOPE_MISSING".to_owned()), "nor takes over another's key");
}

#[tokio::test]
async fn secrets_are_nowhere_in_the_database() {
    let world = World::new().await;
    let administrator = world.administrator();
    world.courier("swift-express").await;
    let (id, first) = create(&administrator, request(swift())).await.unwrap();
    let second = rotate(&administrator, &id, None).await.unwrap().secret;
    let id = id.trim_start_matches("key_").as_bytes().to_vec();
    world.drain().await;
    let file = std::fs::read(world.data_dir().join("gatepost.db")).unwrap();
    let has = |text: &[u8]| file.windows(text.len()).any(|window| window == text);
    assert!(has(b"swift-express") && !id.is_empty(), "the file is the one that is written");
    assert!(!has(first.secret().as_bytes()) && !has(second.as_bytes()));
}
