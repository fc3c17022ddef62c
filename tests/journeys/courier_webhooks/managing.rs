//! Endpoints as their courier and the property's staff keep them.

use gatepost_proto::v1::{self, DisabledReason, EventKind, WebhookEndpoint, replay_webhooks_request::Events};
use gatepost_tests::{
    clients::{Label, WEBHOOK_SECRET, WebhookReceiver, answer, new_request_id, to_wire},
    world::{Stack, World, hours, minutes},
};
use jiff::SignedDuration;
use tokio::net::TcpListener;
use tonic::Code;

use super::world;

#[tokio::test]
async fn secrets_are_shown_once_and_rotate_with_an_overlap() {
    let (world, receiver) = (world(Stack::Embedded).await, WebhookReceiver::start().await);
    let (courier, wang) = (world.courier("swift-express").await, world.resident("王芳"));
    let request = v1::CreateWebhookEndpointRequest {
        request_id: new_request_id(),
        url: receiver.url().to_owned(),
        kinds: Vec::new(),
    };
    let made = answer(courier.webhooks().create_webhook_endpoint(request.clone()).await).unwrap();
    let again = answer(courier.webhooks().create_webhook_endpoint(request).await).unwrap();
    assert!(made.secret.starts_with("whsec_"));
    assert_eq!((again.endpoint, &*again.secret), (made.endpoint.clone(), ""));
    let id = made.endpoint.unwrap().id;
    receiver.trust(&made.secret);

    let rotated = courier.rotate(&id, hours(2)).await.unwrap();
    let until = rotated.endpoint.unwrap().previous_secret_until;
    assert_eq!(until, Some(to_wire(world.now() + hours(2))));
    courier.bring(&Label::to(&wang)).await;
    assert_eq!(receiver.next().await.signatures, 2, "whoever knows the old secret only is content");
    receiver.trust(&rotated.secret);
    courier.bring(&Label::to(&wang)).await;
    assert_eq!(receiver.next().await.signatures, 2, "and whoever knows the new one");
    world.let_pass(hours(2)).await;
    courier.bring(&Label::to(&wang)).await;
    assert_eq!(receiver.next().await.signatures, 1);
    assert_eq!(courier.endpoint(&id).await.unwrap().previous_secret_until, None);
    // One that leaked signs no more at once.
    let rotated = courier.rotate(&id, SignedDuration::ZERO).await.unwrap();
    receiver.trust(&rotated.secret);
    let tested = courier.test_endpoint(&id).await.unwrap();
    assert!(tested.delivered, "{tested:?}");
    assert_eq!(receiver.next().await.signatures, 1);
    let refused = courier.rotate(&id, hours(7 * 24 + 1)).await.unwrap_err();
    assert_eq!((&*refused.reason, &*refused.fields), ("INVALID_FIELD", &["overlap".to_owned()][..]));
}

#[tokio::test]
async fn an_endpoint_is_tested_on_demand() {
    let (world, receiver) = (world(Stack::Embedded).await, WebhookReceiver::start().await);
    let courier = world.courier("swift-express").await;
    let id = courier.listen(&receiver).await;
    let tested = courier.test_endpoint(&id).await.unwrap();
    assert_eq!((tested.delivered, tested.http_status, &*tested.error), (true, 204, ""));
    let call = receiver.next().await;
    assert_eq!(
        (call.kind(), &call.id, &call.body["data"]["endpoint_id"]),
        ("webhook.test", &tested.webhook_id, &id.clone().into())
    );
    receiver.trust(WEBHOOK_SECRET);
    let tested = courier.test_endpoint(&id).await.unwrap();
    assert_eq!((tested.delivered, tested.http_status), (false, 401), "somebody else's secret");
    assert_eq!(tested.error, "the webhook answered 401");
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", nobody.local_addr().unwrap());
    drop(nobody);
    let id = courier.register(&url, &[]).await.unwrap().endpoint.unwrap().id;
    let tested = courier.test_endpoint(&id).await.unwrap();
    assert_eq!((tested.http_status, &*tested.error), (0, "the webhook cannot be reached"));
    assert_eq!(courier.endpoint(&id).await.unwrap().failing_since, None, "a test leaves no mark");
}

#[tokio::test]
async fn an_endpoint_hears_of_what_it_wants() {
    let (world, receiver) = (world(Stack::Embedded).await, WebhookReceiver::start().await);
    let (courier, wang) = (world.courier("swift-express").await, world.resident("王芳"));
    let made = courier.register(receiver.url(), &[EventKind::PickedUp]).await.unwrap();
    receiver.trust(&made.secret);
    let endpoint = made.endpoint.unwrap();
    assert_eq!((endpoint.enabled, &*endpoint.kinds), (true, &[i32::from(EventKind::PickedUp)][..]));
    let bring = async || {
        let parcel = courier.bring(&Label::to(&wang)).await;
        courier.pick_up(&parcel.id).await.unwrap();
    };
    bring().await;
    assert_eq!(receiver.next().await.sequence(), 2);
    courier.endpoint_when("the end of the turn", &endpoint.id, |endpoint| endpoint.passed_sequence == 2).await;
    let all = WebhookEndpoint { id: endpoint.id.clone(), ..Default::default() };
    courier.change_endpoint(all, &["kinds"]).await.unwrap();
    bring().await;
    assert_eq!((receiver.next().await.sequence(), receiver.next().await.sequence()), (3, 4));
    courier.endpoint_when("the end of the turn", &endpoint.id, |endpoint| endpoint.passed_sequence == 4).await;

    // Another address, and a pause in which nothing is lost.
    let other = WebhookReceiver::start().await;
    other.trust(&made.secret);
    let paused = courier.enable_endpoint(&endpoint.id, false).await.unwrap();
    assert_eq!((paused.enabled, paused.disabled_reason()), (false, DisabledReason::Courier));
    bring().await;
    let moved =
        WebhookEndpoint { id: endpoint.id.clone(), url: other.url().to_owned(), enabled: true, ..Default::default() };
    courier.change_endpoint(moved, &["url", "enabled"]).await.unwrap();
    assert_eq!((other.next().await.sequence(), other.next().await.sequence()), (5, 6));
    // Some of it once more, then all of it.
    courier.endpoint_when("all told", &endpoint.id, |endpoint| endpoint.passed_sequence == 6).await;
    courier.replay(&endpoint.id, Events::Sequence(2)).await.unwrap();
    assert_eq!(other.next().await.sequence(), 2);
    courier.endpoint_when("nothing left", &endpoint.id, |endpoint| endpoint.retrying == 0).await;
    courier.replay(&endpoint.id, Events::AllAfter(3)).await.unwrap();
    for sequence in 4..=6 {
        assert_eq!(other.next().await.sequence(), sequence);
    }
    let unknown = courier.replay(&endpoint.id, Events::Sequence(99)).await.unwrap_err();
    assert_eq!((unknown.code, &*unknown.reason), (Code::InvalidArgument, "SEQUENCE_UNKNOWN"));

    let request = v1::DeleteWebhookEndpointRequest { request_id: new_request_id(), endpoint_id: endpoint.id.clone() };
    answer(courier.webhooks().delete_webhook_endpoint(request).await).unwrap();
    let missing = courier.endpoint(&endpoint.id).await.unwrap_err();
    assert_eq!((missing.code, &*missing.reason), (Code::NotFound, "ENDPOINT_NOT_FOUND"));
    bring().await;
    world.let_pass(minutes(10)).await;
    assert!(receiver.left().await.is_empty() && other.left().await.is_empty());
}

#[tokio::test]
async fn only_public_addresses_are_called() {
    let (world, receiver) = (World::new().await, WebhookReceiver::start().await);
    let courier = world.courier("swift-express").await;
    for refused in [
        receiver.url(),
        "https://127.0.0.1/hook",
        "https://[::1]/hook",
        "https://[::ffff:10.0.0.1]/hook",
        "https://169.254.169.254/latest",
        "https://me:secret@hooks.example.org/",
        "ftp://hooks.example.org/",
        "",
    ] {
        let refused = courier.register(refused, &[]).await.unwrap_err();
        assert_eq!((refused.code, &*refused.reason), (Code::InvalidArgument, "INVALID_FIELD"));
        assert_eq!(refused.fields, ["url"]);
        assert!(!refused.message.contains("secret"), "{}", refused.message);
    }
    // A name is looked at once it is resolved, when it is called.
    let port = receiver.url().rsplit_once(':').unwrap().1;
    let made = courier.register(&format!("https://localhost:{port}"), &[]).await.unwrap().endpoint.unwrap();
    let tested = courier.test_endpoint(&made.id).await.unwrap();
    assert_eq!((tested.delivered, &*tested.error), (false, "the webhook's address is not public"));
    courier.bring(&Label::to(&world.resident("王芳"))).await;
    let failing = courier.endpoint_when("a failure", &made.id, |endpoint| endpoint.retrying == 1).await;
    assert_eq!(failing.last_error, "the webhook's address is not public");
    assert!(receiver.left().await.is_empty());
}

#[tokio::test]
async fn staff_see_and_stop_endpoints() {
    let (world, receiver) = (world(Stack::Embedded).await, WebhookReceiver::start().await);
    let (swift, cloud) = (world.courier("swift-express").await, world.courier("cloud-way").await);
    let (one, other) = (swift.listen(&receiver).await, cloud.register(receiver.url(), &[]).await.unwrap());
    let other = other.endpoint.unwrap();
    let mut staff = world.administrator().couriers();
    let request = v1::ListCourierWebhooksRequest::default();
    let mut listed = answer(staff.list_courier_webhooks(request.clone()).await).unwrap().webhooks;
    listed.sort_by(|one, other| other.courier_id.cmp(&one.courier_id));
    assert_eq!(listed.iter().map(|one| &*one.courier_id).collect::<Vec<_>>(), ["swift-express", "cloud-way"]);
    let shown = &listed[0].endpoint.as_ref().unwrap().url;
    assert!(receiver.url().starts_with(shown.as_str()) && !shown.contains("reminders"), "{shown}");

    let stop = v1::DisableCourierWebhookRequest { request_id: new_request_id(), endpoint_id: one.clone() };
    answer(staff.disable_courier_webhook(stop).await).unwrap();
    swift.bring(&Label::to(&world.resident("王芳"))).await;
    let refused = swift.enable_endpoint(&one, true).await.unwrap_err();
    assert_eq!((refused.code, &*refused.reason), (Code::FailedPrecondition, "DISABLED_BY_ADMINISTRATOR"));
    assert_eq!(swift.endpoint(&one).await.unwrap().disabled_reason(), DisabledReason::Administrator);
    let disabled = v1::ListCourierWebhooksRequest { disabled_only: true, ..request };
    let listed = answer(staff.list_courier_webhooks(disabled).await).unwrap().webhooks;
    assert_eq!(listed.len(), 1);
    world.let_pass(hours(1)).await;
    assert!(receiver.left().await.is_empty());
    let go_on = v1::EnableCourierWebhookRequest { request_id: new_request_id(), endpoint_id: one };
    answer(staff.enable_courier_webhook(go_on).await).unwrap();
    assert_eq!(receiver.next().await.sequence(), 1);

    let (mine, nobodys) =
        (swift.endpoint(&other.id).await, swift.endpoint("whe_0190a5b0c0de7000800000000000beef").await);
    assert_eq!(format!("{:?}", mine.unwrap_err()), format!("{:?}", nobodys.unwrap_err()));
}
